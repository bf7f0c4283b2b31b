//! Commands of the original sealer that are not supported yet, each with what to use instead.

use clap::Args;

use crate::exit::Failure;

/// What follows such a command is not looked at.
#[derive(Debug, Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Later {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENT")]
    arguments: Vec<String>,
}

impl Later {
    /// Refuses the command; `instead` is what to use.
    pub(crate) fn refuse(self, command: &str, instead: &str) -> Result<(), Failure> {
        // Not its value, which may be a password.
        let flag = self.arguments.iter().find(|argument| argument.starts_with('-'));
        let flag = flag.and_then(|flag| flag.split('=').next());
        let shown = flag.map(|flag| format!(" {flag}")).unwrap_or_default();
        Err(Failure::Usage(format!("`sealer {command}{shown}` is not supported yet; {instead}")))
    }
}
