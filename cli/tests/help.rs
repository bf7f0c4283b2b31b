//! Every command has a help with two examples that parse, and explains every option.

/// Every visible command with its full path.
fn commands() -> Vec<(Vec<String>, clap::Command)> {
    fn walk(path: &[String], command: &clap::Command, found: &mut Vec<(Vec<String>, clap::Command)>) {
        for known in command.get_subcommands().filter(|known| !known.is_hide_set()) {
            let mut path = path.to_vec();
            path.push(known.get_name().to_owned());
            if known.has_subcommands() {
                walk(&path, known, found);
            } else {
                found.push((path, known.clone()));
            }
        }
    }
    let mut found = Vec::new();
    walk(&["sealer".to_owned()], &sealer::command(), &mut found);
    found
}

#[test]
fn examples_of_every_command_parse() {
    for (path, command) in commands() {
        let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let examples: Vec<&str> = after.lines().filter_map(|line| line.trim().strip_prefix("sealer ")).collect();
        assert!(examples.len() >= 2, "`{}` has {} examples in its help, expected two", path.join(" "), examples.len());
        for example in examples {
            let words = example.split('>').next().unwrap_or_default().split_whitespace();
            let arguments = std::iter::once("sealer").chain(words);
            let parsed = sealer::command().try_get_matches_from(arguments);
            assert!(parsed.is_ok(), "the example `sealer {example}` does not parse: {}", parsed.err().unwrap());
        }
    }
}

#[test]
fn every_option_is_explained() {
    for (path, command) in commands() {
        for argument in command.get_arguments().filter(|argument| !argument.is_hide_set()) {
            assert!(argument.get_help().is_some(), "`{}` does not explain `{}`", path.join(" "), argument.get_id());
        }
    }
}

#[test]
fn every_command_is_in_a_group_of_the_help() {
    let help = sealer::command().render_help().to_string();
    for known in sealer::command().get_subcommands().filter(|known| !known.is_hide_set()) {
        assert!(
            help.contains(&format!("\n  {} ", known.get_name())),
            "`{}` is missing in the help:\n{help}",
            known.get_name()
        );
    }
}
