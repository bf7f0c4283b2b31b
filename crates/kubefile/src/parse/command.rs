//! Reads FROM, RUN, CMD, CMDS, MAINTAINER and KUBEVERSION.

use crate::parse::arguments::{Arguments, Flag, Known, Sink};
use crate::parse::json;
use crate::parse::list::words;
use crate::parse::word::word;
use crate::{ErrorKind, InstructionKind, Name, ShellOrExec};

pub(crate) fn from(mut arguments: Arguments<'_>, sink: &mut Sink) -> Option<InstructionKind> {
    const FLAGS: Known =
        Known { supported: &[("platform", "linux/arm64")], unsupported: &[], expected: "expected --platform" };
    let mut flags = arguments.flags(&FLAGS, sink);
    let platform = Flag::take(&mut flags, "platform");
    let mut words = words(&arguments, sink)?;
    let image = words
        .next()
        .or_else(|| sink.refuse(arguments.missing("an image", "expected an image name or `scratch` here")))?;
    let Some(after) = words.next() else {
        return Some(InstructionKind::From { image, platform, stage: None });
    };
    if !after.literal().is_some_and(|text| text.eq_ignore_ascii_case("as")) {
        return sink.refuse(arguments.unexpected(after.span, "expected nothing behind the image, or `AS NAME`"));
    }
    let stage = words.next().or_else(|| sink.refuse(arguments.missing("a name behind AS", "expected a name here")))?;
    if let Some(more) = words.next() {
        return sink.refuse(arguments.unexpected(more.span, "expected nothing behind the name"));
    }
    let stage = Name { text: stage.to_string(), span: stage.span };
    Some(InstructionKind::From { image, platform, stage: Some(stage) })
}

pub(crate) fn run(mut arguments: Arguments<'_>, sink: &mut Sink) -> Option<InstructionKind> {
    const FLAGS: Known = Known {
        supported: &[],
        unsupported: &[
            ("mount", "RUN sees the image and the tools of this machine; COPY what else it needs"),
            ("network", "RUN uses the network of this machine"),
            ("security", "RUN is always confined to the image"),
        ],
        expected: "expected a command; RUN has no flags",
    };
    let before = sink.len();
    arguments.flags(&FLAGS, sink);
    if sink.len() > before {
        return None;
    }
    shell_or_exec(&arguments, sink).map(InstructionKind::Run)
}

/// The text of CMD stays whole: a comma in it is part of the command, and CMDS is there for several commands.
pub(crate) fn cmd(arguments: &Arguments<'_>, sink: &mut Sink) -> Option<InstructionKind> {
    shell_or_exec(arguments, sink).map(InstructionKind::Cmd)
}

fn shell_or_exec(arguments: &Arguments<'_>, sink: &mut Sink) -> Option<ShellOrExec> {
    arguments.need("a command", "expected a command here", sink)?;
    if json::looks_like_array(arguments.input) {
        let (_, texts) = sink.take(json::array(arguments.input))?;
        return Some(ShellOrExec::Exec(texts.into_iter().map(|(text, _)| text).collect()));
    }
    Some(ShellOrExec::Shell((*arguments.input.fragment()).to_owned()))
}

pub(crate) fn cmds(arguments: &Arguments<'_>, sink: &mut Sink) -> Option<InstructionKind> {
    commands(arguments, sink).map(InstructionKind::Cmds)
}

/// A JSON array of commands.
pub(crate) fn commands(arguments: &Arguments<'_>, sink: &mut Sink) -> Option<Vec<String>> {
    const EXAMPLE: &str = r#"["kubectl apply -f app.yaml", "…"]"#;
    arguments.need("commands", "expected a JSON array of commands here", sink)?;
    if !arguments.input.fragment().starts_with('[') {
        let instruction = arguments.keyword;
        return sink.refuse(arguments.error(arguments.all(), ErrorKind::NeedsJson { instruction, example: EXAMPLE }));
    }
    let (_, texts) = sink.take(json::array(arguments.input))?;
    Some(texts.into_iter().map(|(text, _)| text).collect())
}

pub(crate) fn maintainer(arguments: &Arguments<'_>, sink: &mut Sink) -> Option<InstructionKind> {
    arguments.need("a name", "expected a name here", sink)?;
    Some(InstructionKind::Maintainer((*arguments.input.fragment()).to_owned()))
}

pub(crate) fn kube_version(arguments: &Arguments<'_>, sink: &mut Sink) -> Option<InstructionKind> {
    arguments.need("a range of versions", "expected a range such as `>= 1.20, < 1.24` here", sink)?;
    let (_, range) = sink.take(word(arguments.input, &|_| false))?;
    Some(InstructionKind::KubeVersion(range))
}
