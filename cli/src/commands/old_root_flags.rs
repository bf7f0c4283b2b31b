//! Options that every command of the original sealer had and that mean something else here, or nothing.

use clap::{Args, ValueEnum};

use crate::output::Printer;

/// When output has colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// Also where no terminal is.
    Always,
    /// On a terminal.
    Auto,
    /// Nowhere.
    Never,
}

/// What they were called.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct OldRootFlags {
    /// Colours: always, auto or never
    #[arg(long, global = true, hide = true, value_enum, value_name = "WHEN")]
    color: Option<Color>,
    /// Also print commands and their output; `--verbose`
    #[arg(short = 'd', long, global = true, hide = true)]
    pub(crate) debug: bool,
    /// There are no times in front of lines
    #[arg(long = "hide-time", global = true, hide = true)]
    hide_time: bool,
    /// There are no paths in front of lines
    #[arg(long = "hide-path", global = true, hide = true)]
    hide_path: bool,
    /// A file of settings, which sealer does not have; before the command, since some commands have one of their own
    #[arg(long, hide = true, value_name = "FILE", id = "old_config")]
    config: Option<String>,
    /// A log file, which sealer does not write
    #[arg(long = "log-to-file", global = true, hide = true, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    log_to_file: Option<bool>,
    /// A log service
    #[arg(long = "remote-logger-url", global = true, hide = true, value_name = "URL")]
    remote_logger_url: Option<String>,
    /// The name of a task in a log service
    #[arg(long = "task-name", global = true, hide = true, value_name = "NAME")]
    task_name: Option<String>,
}

impl OldRootFlags {
    /// Applies what means something here.
    pub(crate) fn apply(&self) {
        if let Some(color @ (Color::Always | Color::Never)) = self.color {
            console::set_colors_enabled(color == Color::Always);
            console::set_colors_enabled_stderr(color == Color::Always);
        }
    }

    /// Tells what has no effect, and what to use instead.
    pub(crate) fn tell(&self, printer: &Printer) {
        let given = [
            ("--config", self.config.is_some(), "there is no file of settings; options and variables are in `--help`"),
            ("--log-to-file", self.log_to_file == Some(true), "redirect standard error, with --json for programs"),
            ("--remote-logger-url", self.remote_logger_url.is_some(), "send on what --json prints to standard error"),
            ("--task-name", self.task_name.is_some(), "it named a task of --remote-logger-url"),
        ];
        for (flag, _, instead) in given.into_iter().filter(|(_, given, _)| *given) {
            printer.warn(&format!("{flag} has no effect: {instead}"));
        }
    }
}
