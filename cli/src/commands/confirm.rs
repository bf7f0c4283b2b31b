//! Asks the person at the terminal to agree to something.

use sealer_core::Error;

use crate::exit::Failure;

/// Whether the person agrees to what was refused without their word. Where nobody can be asked, nobody agrees.
pub(crate) fn asked(refused: &Error) -> Result<bool, Failure> {
    let terminal = console::Term::stderr();
    if !terminal.is_term() || !console::Term::stdout().is_term() {
        return Ok(false);
    }
    let failed = |source| Failure::Input { path: "the terminal".to_owned(), source };
    terminal.write_str(&format!("{refused}. Continue? [y/N] ")).map_err(failed)?;
    let answer = terminal.read_line().map_err(failed)?;
    Ok(["y", "yes"].contains(&answer.trim().to_lowercase().as_str()))
}
