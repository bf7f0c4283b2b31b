//! A whole Kubefile, and the check of apps that its base image must contain.

use std::collections::BTreeSet;

use crate::error::MAX_ERRORS;
use crate::keyword::closest;
use crate::span::SourceText;
use crate::{App, Error, ErrorKind, Errors, Instruction, InstructionKind, Name};

/// A parsed Kubefile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kubefile {
    /// In the order of the text: FROM first, or ARG before FROM.
    pub instructions: Vec<Instruction>,
    pub(crate) source: SourceText,
}

impl Kubefile {
    /// The text that was parsed; every [`Span`](crate::Span) slices it.
    #[must_use]
    pub fn text(&self) -> &str {
        self.source.text()
    }

    /// Apps declared here by APP, CNI and CSI.
    pub fn apps(&self) -> impl Iterator<Item = &App> {
        self.instructions.iter().filter_map(|instruction| match &instruction.kind {
            InstructionKind::App(app) | InstructionKind::Cni(app) | InstructionKind::Csi(app) => Some(app),
            _ => None,
        })
    }

    /// Names in APPCMDS, APPENV and LAUNCH that are not declared here, so the base image must contain them.
    #[must_use]
    pub fn apps_of_base(&self) -> Vec<&Name> {
        let declared: BTreeSet<&str> = self.apps().map(|app| app.name.text.as_str()).collect();
        let used = self.instructions.iter().flat_map(|instruction| match &instruction.kind {
            InstructionKind::AppCmds { name, .. } | InstructionKind::AppEnv { name, .. } => std::slice::from_ref(name),
            InstructionKind::Launch(names) => names.as_slice(),
            _ => &[],
        });
        used.filter(|name| !declared.contains(name.text.as_str())).collect()
    }

    /// Checks [`apps_of_base`](Self::apps_of_base) once it is known which apps the base image has.
    ///
    /// # Errors
    /// One [`ErrorKind::UnknownApp`] for each name that neither this file nor the base declares.
    pub fn check_apps(&self, base: &BTreeSet<String>) -> Result<(), Errors> {
        let unknown = self.apps_of_base().into_iter().filter(|name| !base.contains(&name.text)).take(MAX_ERRORS + 1);
        let errors = unknown.map(|name| {
            let known = self.apps().map(|app| app.name.text.as_str()).chain(base.iter().map(String::as_str));
            let suggestion = closest(&name.text, known).map(str::to_owned);
            Error::new(&self.source, name.span, ErrorKind::UnknownApp { name: name.text.clone(), suggestion })
        });
        Errors::collect(errors.collect()).map_or(Ok(()), Err)
    }
}
