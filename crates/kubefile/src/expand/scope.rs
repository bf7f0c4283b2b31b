//! Looks up the value of a variable at one point of the file.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::MAX_ERRORS;
use crate::keyword::closest;
use crate::span::SourceText;
use crate::{ArgDefault, Error, ErrorKind, ModifierKind, Part, Span, Variable, Warning, Word};

pub(crate) type Variables = BTreeMap<String, String>;

/// All ARG and ENV values together; a process could not be started with much more.
const MAX_ENVIRONMENT: usize = 128 * 1024;
/// What a variable costs besides its name and value, so that their number is bounded too.
const OVERHEAD: usize = 64;
/// Everything that is put together in one expansion.
const MAX_EXPANSION: usize = 16 * 1024 * 1024;
const MAX_WARNINGS: usize = 100;

/// The variables in force, and what was noticed about them.
#[derive(Debug)]
pub(crate) struct Scope<'a> {
    source: &'a SourceText,
    build_args: &'a Variables,
    predefined: &'a Variables,
    /// ARG before FROM: the FROM sees them, later instructions only once ARG names them again.
    global: BTreeMap<String, Option<String>>,
    args: BTreeMap<String, Option<String>>,
    env: Variables,
    after_from: bool,
    shared: Option<Arc<Variables>>,
    spent: usize,
    pub(crate) warnings: Vec<Warning>,
    pub(crate) errors: Vec<Error>,
}

impl<'a> Scope<'a> {
    pub(crate) fn new(source: &'a SourceText, build_args: &'a Variables, predefined: &'a Variables) -> Self {
        Self {
            source,
            build_args,
            predefined,
            global: BTreeMap::new(),
            args: BTreeMap::new(),
            env: BTreeMap::new(),
            after_from: false,
            shared: None,
            spent: 0,
            warnings: Vec::new(),
            errors: Vec::new(),
        }
    }

    pub(crate) fn report(&mut self, span: Span, kind: ErrorKind) {
        if self.errors.len() <= MAX_ERRORS {
            self.errors.push(Error::new(self.source, span, kind));
        }
    }

    /// The word with its variables replaced; `None` when that is an error, which is kept.
    pub(crate) fn expand(&mut self, word: &Word) -> Option<String> {
        let mut text = String::new();
        let expanded = self.expand_parts(&word.parts, word.span, &mut text);
        expanded.map_err(|(span, kind)| self.report(span, kind)).ok()?;
        Some(text)
    }

    /// As `expand`, and nothing left is an error too.
    pub(crate) fn expand_filled(&mut self, word: &Word, what: &'static str) -> Option<String> {
        let text = self.expand(word)?;
        if text.is_empty() {
            self.report(word.span, ErrorKind::EmptyValue { what });
        }
        (!text.is_empty()).then_some(text)
    }

    pub(crate) fn enter_image(&mut self) {
        self.after_from = true;
        self.global = std::mem::take(&mut self.args);
        self.shared = None;
    }

    /// Declares the names and gives their values.
    pub(crate) fn declare(&mut self, args: &[ArgDefault], span: Span) -> Option<Vec<(String, Option<String>)>> {
        let mut declared = Vec::new();
        for ArgDefault { name, default } in args {
            let default = match default {
                Some(word) => Some(self.expand(word)?),
                None => None,
            };
            let inherited = || self.global.get(&name.text).cloned().flatten();
            let predefined = || self.predefined.get(&name.text).cloned();
            let value = self.build_args.get(&name.text).cloned().or(default).or_else(inherited).or_else(predefined);
            declared.push((name.text.clone(), value));
        }
        self.args.extend(declared.iter().cloned());
        self.check_size(span)?;
        Some(declared)
    }

    pub(crate) fn set(&mut self, values: &[(String, String)], span: Span) -> Option<()> {
        self.env.extend(values.iter().cloned());
        self.check_size(span)
    }

    /// What a command that runs here finds in its environment.
    pub(crate) fn environment(&mut self) -> Arc<Variables> {
        if let Some(shared) = &self.shared {
            return Arc::clone(shared);
        }
        let mut variables = self.predefined.clone();
        let overridden = self.predefined.keys().filter_map(|name| self.build_args.get_key_value(name));
        variables.extend(overridden.map(|(name, value)| (name.clone(), value.clone())));
        variables.extend(self.arguments());
        variables.extend(self.env.clone());
        let shared = Arc::new(variables);
        self.shared = Some(Arc::clone(&shared));
        shared
    }

    /// All ARG that have a value.
    pub(crate) fn arguments(&self) -> Variables {
        self.args.iter().filter_map(|(name, value)| Some((name.clone(), value.clone()?))).collect()
    }

    pub(crate) fn env(&self) -> &Variables {
        &self.env
    }

    /// Warns of build arguments that are neither in `declared` nor predefined.
    pub(crate) fn warn_unused(&mut self, declared: &[&str]) {
        let unused = self
            .build_args
            .keys()
            .filter(|name| !declared.contains(&name.as_str()) && !self.predefined.contains_key(name.as_str()));
        let warnings: Vec<Warning> = unused
            .map(|name| {
                let suggestion = closest(name, declared.iter().copied()).map(str::to_owned);
                Warning::UnusedBuildArg { name: name.clone(), suggestion }
            })
            .collect();
        self.warnings.extend(warnings);
    }

    fn expand_parts(&mut self, parts: &[Part], span: Span, text: &mut String) -> Result<(), (Span, ErrorKind)> {
        for part in parts {
            match part {
                Part::Literal(literal) | Part::Quoted(literal) => self.append(text, literal, span)?,
                Part::Variable(variable) => self.expand_variable(variable, text)?,
            }
        }
        Ok(())
    }

    fn expand_variable(&mut self, variable: &Variable, text: &mut String) -> Result<(), (Span, ErrorKind)> {
        let value = self.value(&variable.name).map(str::to_owned);
        let Some(modifier) = &variable.modifier else {
            if value.is_none() {
                self.warn_undefined(variable);
            }
            return self.append(text, &value.unwrap_or_default(), variable.span);
        };
        let value = value.filter(|value| !(modifier.empty_is_unset && value.is_empty()));
        match (modifier.kind, value) {
            (ModifierKind::Default | ModifierKind::Required, Some(value)) => self.append(text, &value, variable.span),
            (ModifierKind::Default, None) | (ModifierKind::Alternative, Some(_)) => {
                self.expand_parts(&modifier.word, variable.span, text)
            }
            (ModifierKind::Alternative, None) => Ok(()),
            (ModifierKind::Required, None) => {
                let mut message = String::new();
                self.expand_parts(&modifier.word, variable.span, &mut message)?;
                let message = if message.is_empty() { "it has no value".to_owned() } else { message };
                Err((variable.span, ErrorKind::RequiredVariable { name: variable.name.clone(), message }))
            }
        }
    }

    fn append(&mut self, text: &mut String, more: &str, span: Span) -> Result<(), (Span, ErrorKind)> {
        self.spent = self.spent.saturating_add(more.len());
        if self.spent > MAX_EXPANSION {
            return Err((span, ErrorKind::ExpansionTooLong { limit: MAX_EXPANSION }));
        }
        text.push_str(more);
        Ok(())
    }

    /// ENV wins over ARG, both over what is predefined.
    fn value(&self, name: &str) -> Option<&str> {
        if let Some(value) = self.env.get(name) {
            return Some(value);
        }
        if let Some(value) = self.args.get(name) {
            return value.as_deref();
        }
        let predefined = self.predefined.get(name)?;
        Some(self.build_args.get(name).unwrap_or(predefined))
    }

    fn warn_undefined(&mut self, variable: &Variable) {
        if self.args.contains_key(&variable.name) || self.warnings.len() >= MAX_WARNINGS {
            return;
        }
        let known = self.env.keys().chain(self.args.keys()).chain(self.predefined.keys());
        let suggestion = closest(&variable.name, known.map(String::as_str)).map(str::to_owned);
        self.warnings.push(Warning::UndefinedVariable { name: variable.name.clone(), span: variable.span, suggestion });
    }

    fn check_size(&mut self, span: Span) -> Option<()> {
        self.shared = None;
        let args =
            self.args.iter().map(|(name, value)| OVERHEAD + name.len() + value.as_deref().unwrap_or_default().len());
        let env = self.env.iter().map(|(name, value)| OVERHEAD + name.len() + value.len());
        if args.sum::<usize>() + env.sum::<usize>() <= MAX_ENVIRONMENT {
            return Some(());
        }
        // Later instructions find none, so that one mistake is one error.
        self.args.clear();
        self.env.clear();
        self.report(span, ErrorKind::EnvironmentTooLarge { limit: MAX_ENVIRONMENT });
        None
    }
}
