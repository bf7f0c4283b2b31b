//! Reads FROM, RUN, CMD, CMDS, MAINTAINER and KUBEVERSION.

use crate::parse::arguments::{Arguments, Flag, Known, Sink};
use crate::parse::json;
use crate::parse::list::{Item, list};
use crate::parse::word::word;
use crate::{ErrorKind, InstructionKind, Name, ShellOrExec};

pub(crate) fn from(mut arguments: Arguments<'_>, sink: &mut Sink) -> Option<InstructionKind> {
    const FLAGS: Known =
        Known { supported: &[("platform", "linux/arm64")], unsupported: &[], expected: "expected --platform" };
    let mut flags = arguments.flags(&FLAGS, sink);
    let platform = Flag::take(&mut flags, "platform");
    let mut words = list(&arguments, sink)?.into_iter().filter_map(|item| match item {
        Item::Word(word) => Some(word),
        Item::Heredoc(..) => None,
    });
    let Some(image) = words.next() else {
        sink.push(arguments.missing("an image", "expected an image name or `scratch` here"));
        return None;
    };
    let Some(after) = words.next() else {
        return Some(InstructionKind::From { image, platform, stage: None });
    };
    if !after.literal().is_some_and(|text| text.eq_ignore_ascii_case("as")) {
        sink.push(arguments.unexpected(after.span, "expected nothing behind the image, or `AS NAME`"));
        return None;
    }
    let Some(stage) = words.next() else {
        sink.push(arguments.missing("a name behind AS", "expected a name here"));
        return None;
    };
    if let Some(more) = words.next() {
        sink.push(arguments.unexpected(more.span, "expected nothing behind the name"));
        return None;
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
    if arguments.is_empty() {
        sink.push(arguments.missing("a command", "expected a command here"));
        return None;
    }
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
    if arguments.is_empty() {
        sink.push(arguments.missing("commands", "expected a JSON array of commands here"));
        return None;
    }
    if !arguments.input.fragment().starts_with('[') {
        let instruction = arguments.keyword;
        sink.push(arguments.error(arguments.all(), ErrorKind::NeedsJson { instruction, example: EXAMPLE }));
        return None;
    }
    let (_, texts) = sink.take(json::array(arguments.input))?;
    Some(texts.into_iter().map(|(text, _)| text).collect())
}

pub(crate) fn maintainer(arguments: &Arguments<'_>, sink: &mut Sink) -> Option<InstructionKind> {
    if arguments.is_empty() {
        sink.push(arguments.missing("a name", "expected a name here"));
        return None;
    }
    Some(InstructionKind::Maintainer((*arguments.input.fragment()).to_owned()))
}

pub(crate) fn kube_version(arguments: &Arguments<'_>, sink: &mut Sink) -> Option<InstructionKind> {
    if arguments.is_empty() {
        sink.push(arguments.missing("a range of versions", "expected a range such as `>= 1.20, < 1.24` here"));
        return None;
    }
    let (_, range) = sink.take(word(arguments.input, &|_| false))?;
    Some(InstructionKind::KubeVersion(range))
}
