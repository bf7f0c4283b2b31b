//! Tips for commands that sealer does not have: those of docker and of the original sealer, and typos.

use clap::error::{ContextKind, ContextValue, ErrorKind};
use sealer_core::clusterfile;

const ARCHIVES: &str = "`sealer push` and `sealer pull` move cluster images to and from registries, `sealer save` and `sealer load` to and from files";
const IMAGES: &str = "`sealer images` lists cluster images";
const REMOVE: &str = "`sealer rmi IMAGE` removes cluster images, `sealer delete -c NAME` a cluster";
const HOSTS: &str =
    "`sealer scale-up` adds hosts, `sealer delete --nodes ADDRESS` takes them out, `sealer apply` makes any change";
const PLAN: &str = "`--dry-run` of `sealer run` and `sealer apply` checks hosts and prints the plan";
const MISSING: &str = "it is not supported yet";

/// What others call it, and what to do here.
const FOREIGN: [(&str, &str); 18] = [
    ("export", ARCHIVES),
    ("import", ARCHIVES),
    ("ps", IMAGES),
    ("ls", IMAGES),
    ("list", IMAGES),
    ("image", IMAGES),
    ("rm", REMOVE),
    ("remove", REMOVE),
    ("reset", REMOVE),
    ("destroy", REMOVE),
    ("system", "`sealer prune` frees what no image needs any more"),
    ("scale", HOSTS),
    ("scale-down", HOSTS),
    ("create", "`sealer run IMAGE` makes a cluster"),
    ("start", "`sealer run IMAGE` makes a cluster"),
    ("plan", PLAN),
    ("cp", MISSING),
    ("alpha", "`sealer alpha COMMAND` is `sealer COMMAND`"),
];

/// The error with a tip that leads to the fix, or with none.
pub(crate) fn with_tip(mut error: clap::Error) -> clap::Error {
    let Some(ContextValue::String(given)) = error.get(ContextKind::InvalidSubcommand) else { return error };
    if error.kind() != ErrorKind::InvalidSubcommand {
        return error;
    }
    let given = given.clone();
    // What the parser suggests shares letters with it; often it means something else.
    let suggested = match error.remove(ContextKind::SuggestedSubcommand) {
        Some(ContextValue::Strings(names)) => names,
        Some(ContextValue::String(name)) => vec![name],
        _ => Vec::new(),
    };
    error.remove(ContextKind::Suggested);
    if let Some((_, tip)) = FOREIGN.iter().find(|(name, _)| *name == given) {
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![(*tip).into()]));
    } else if let Some(near) = clusterfile::closest(&given, suggested.iter().map(String::as_str)) {
        error.insert(ContextKind::SuggestedSubcommand, ContextValue::Strings(vec![near.to_owned()]));
    }
    error
}
