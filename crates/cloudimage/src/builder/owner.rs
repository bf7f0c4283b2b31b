//! Resolves `--chown` to numbers.

use content_store::Store;
use kubefile::Owner;

use crate::contents;
use crate::error::{Error, Result};
use crate::image::Layer;
use crate::layer::listing::{Listed, Merged};

/// Largest `/etc/passwd` or `/etc/group` of a rootfs, in bytes.
const LIMIT: u64 = 4 << 20;

/// User and group numbers of `owner`; names are looked up in the rootfs' own `etc/passwd` and `etc/group`. Without a
/// group, a user name brings its own group, a number is also the group's.
pub(super) fn resolve(
    owner: &Owner,
    line: usize,
    store: &Store,
    layers: &[Layer],
    merged: &Merged,
) -> Result<(u64, u64)> {
    let fault = |reason: String| {
        let shown = owner.group.as_ref().map_or_else(|| owner.user.clone(), |group| format!("{}:{group}", owner.user));
        Error::Owner { line, owner: shown, reason }
    };
    let (uid, own_group) = match owner.user.parse::<u32>() {
        Ok(uid) => (u64::from(uid), u64::from(uid)),
        Err(_) => {
            let fields = look_up("etc/passwd", &owner.user, store, layers, merged)?;
            let fields = fields
                .ok_or_else(|| fault(format!("the rootfs has no user {} in etc/passwd; use a number", owner.user)))?;
            let number = |at: usize| fields.get(at).and_then(|field| field.parse::<u32>().ok());
            let (uid, gid) =
                number(2).zip(number(3)).ok_or_else(|| fault("its line in etc/passwd is malformed".to_owned()))?;
            (uid.into(), gid.into())
        }
    };
    let gid = match &owner.group {
        None => own_group,
        Some(group) => match group.parse::<u32>() {
            Ok(gid) => gid.into(),
            Err(_) => {
                let fields = look_up("etc/group", group, store, layers, merged)?;
                let fields = fields
                    .ok_or_else(|| fault(format!("the rootfs has no group {group} in etc/group; use a number")))?;
                let gid = fields.get(2).and_then(|field| field.parse::<u32>().ok());
                gid.ok_or_else(|| fault("its line in etc/group is malformed".to_owned()))?.into()
            }
        },
    };
    Ok((uid, gid))
}

/// The fields of the line of `name`.
fn look_up(file: &str, name: &str, store: &Store, layers: &[Layer], merged: &Merged) -> Result<Option<Vec<String>>> {
    let path = merged.resolve(std::path::Path::new(file));
    let (Some(Listed::File), Some(layer)) = (merged.get(&path), merged.layer_of(&path)) else { return Ok(None) };
    let found = contents::read_from_layer(store, &layers[layer], &[path.clone()].into(), LIMIT)?;
    let text = String::from_utf8_lossy(found.get(&path).map_or(&[][..], Vec::as_slice)).into_owned();
    let fields = |line: &str| line.split(':').map(str::to_owned).collect::<Vec<_>>();
    Ok(text.lines().map(fields).find(|fields| fields.first().is_some_and(|first| first == name)))
}
