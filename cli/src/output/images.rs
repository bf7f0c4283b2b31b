//! Prints cluster images: lists, their contents, what a build made.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};
use sealer_core::cloudimage::{
    Built, Inspection, LayerPlan, ManifestList, Platform, Pulled, Pushed, Removed, Saved, Sizes, Summary,
};
use sealer_core::clusterfile::Clusterfile;
use sealer_core::content_store::Reference;
use serde::Serialize;

use super::layout::{printable, shorten};
use super::{Printer, units, write_out};
use crate::exit::Failure;

impl Printer {
    /// What a build would do.
    pub(crate) fn layer_plan(&self, plan: &LayerPlan) -> Result<(), Failure> {
        if self.is_json() {
            return self.json(plan);
        }
        write_out(&plan.to_string())?;
        self.note("nothing was built");
        Ok(())
    }

    /// What a build made.
    pub(crate) fn built(&self, built: &Built) -> Result<(), Failure> {
        if self.is_json() {
            return self.json(built);
        }
        let digest = built.digest.to_string();
        if self.quiet {
            return write_out(&format!("{digest}\n"));
        }
        let name = built.reference.as_ref().map_or("(no name)".to_owned(), |reference| reference.familiar());
        let platforms = platforms(&built.platforms);
        let (size, new) = (units::bytes(built.size), units::bytes(built.new_bytes));
        write_out(&self.fitting(&digest, |digest| format!("{name}  {digest}  {platforms}  {size} ({new} new)\n")))
    }

    /// A line with a digest, which is shortened only where the terminal is too narrow for the whole of it.
    fn fitting(&self, digest: &str, line: impl Fn(&str) -> String) -> String {
        let whole = line(digest);
        // Twelve digits are enough to name the image again.
        if whole.trim_end().chars().count() <= self.room() {
            whole
        } else {
            line(&format!("{}…", &digest[..digest.len().min(19)]))
        }
    }

    /// All cluster images.
    pub(crate) fn images(&self, images: &[Summary], columns: ImageColumns) -> Result<(), Failure> {
        if self.is_json() {
            return self.json(&images);
        }
        if self.quiet {
            let digests: String = images.iter().map(|image| format!("{}\n", image.digest)).collect();
            return write_out(&digests);
        }
        let mut head = vec!["NAME", "DIGEST", "PLATFORM", "CREATED", "IMAGES", "SIZE"];
        head.extend(columns.other_names.then_some("OTHER NAMES"));
        let mut table = if columns.heading { table(&head) } else { without_heading() };
        for image in images {
            let digest = image.digest.to_string();
            let mut row = vec![
                image.familiar.clone(),
                if columns.whole_digests { digest } else { short(&digest) },
                platforms(&image.platforms),
                image.created.as_deref().map(age).unwrap_or_default(),
                image.carried_images.to_string(),
                units::bytes(image.size),
            ];
            if columns.other_names {
                row.push(image.other_names.join(","));
            }
            table.add_row(row);
        }
        for column in table.column_iter_mut() {
            column.set_padding((0, 3));
        }
        right(&mut table, &[4, 5]);
        write_table(&table)?;
        for image in images {
            if let Some(problem) = &image.problem {
                self.warn(&format!("{}: {problem}", image.familiar));
            }
        }
        Ok(())
    }

    /// What is inside one cluster image.
    pub(crate) fn inspection(&self, image: &Inspection) -> Result<(), Failure> {
        if self.is_json() {
            return self.json(image);
        }
        let mut text = self.fitting(&image.digest.to_string(), |digest| head(image, digest));
        section(&mut text, "names", image.names.iter().map(|name| familiar(name)));
        section(&mut text, "size", std::iter::once(sizes(&image.sizes)));
        let room = self.room();
        section(
            &mut text,
            "layers",
            image.layers.iter().map(|layer| {
                let made = shorten(&printable(&layer.created_by.replace('\n', " ")), room.saturating_sub(34).max(20));
                format!("{:>8}  {}  {made}", units::bytes(layer.size), short(&layer.digest.to_string()))
            }),
        );
        let width = image.images.iter().map(|carried| carried.name.chars().count()).max().unwrap_or_default();
        section(
            &mut text,
            "images",
            image.images.iter().map(|carried| {
                format!(
                    "{:>8}  {}  {:<width$}  from {}",
                    units::bytes(carried.bytes()),
                    short(&carried.digest.to_string()),
                    carried.name,
                    carried.source
                )
            }),
        );
        section(&mut text, "apps", image.applications.iter().map(|application| application.name.clone()));
        section(&mut text, "labels", image.labels.iter().map(|(key, value)| format!("{key}={value}")));
        section(&mut text, "env", image.env.iter().cloned());
        section(&mut text, "args", image.arguments.iter().map(|(key, value)| format!("{key}={value}")));
        section(&mut text, "launch", image.launch.iter().cloned());
        write_out(&text)
    }

    /// The manifests of an image, and those that were taken out.
    pub(crate) fn manifest_list(&self, list: &ManifestList) -> Result<(), Failure> {
        if self.is_json() {
            return self.json(list);
        }
        if self.quiet {
            return write_out(&format!("{}\n", list.digest));
        }
        write_out(&format!("{}  {}\n", familiar(&list.name), list.digest))?;
        let mut table = table(&["MANIFEST", "PLATFORM", "SIZE"]);
        for manifest in &list.manifests {
            let carried = manifest.carried_with.map(|digest| format!("images of {}", short(&digest.to_string())));
            table.add_row([
                manifest.digest.to_string(),
                manifest.platform_text().or(carried).unwrap_or_default(),
                units::bytes(manifest.size),
            ]);
        }
        right(&mut table, &[2]);
        write_table(&table)?;
        for digest in &list.removed {
            self.note(&format!("{digest} is no longer in it"));
        }
        Ok(())
    }

    /// The Clusterfile by which an image is run.
    pub(crate) fn clusterfile(&self, clusterfile: &Clusterfile) -> Result<(), Failure> {
        if self.is_json() {
            self.json(&serde_json::json!({ "clusterfile": clusterfile.to_yaml() }))
        } else {
            write_out(&clusterfile.to_yaml())
        }
    }

    /// Which archive was written.
    pub(crate) fn saved(&self, file: &Path, images: &[String], saved: &Saved) -> Result<(), Failure> {
        let shown = |path: &Path| path.display().to_string();
        let file = shown(file);
        if saved.parts.is_empty() {
            return self.done(&file, &serde_json::json!({ "file": file, "images": images, "bytes": saved.bytes }));
        }
        let parts: Vec<String> = saved.parts.iter().map(|part| shown(part)).collect();
        let value = serde_json::json!({ "file": file, "images": images, "bytes": saved.bytes, "parts": parts });
        self.done(&parts.join("\n"), &value)
    }

    /// Which images an archive brought.
    pub(crate) fn loaded(&self, files: &[PathBuf], names: &[String]) -> Result<(), Failure> {
        let lines: Vec<String> = names.iter().map(|name| familiar(name)).collect();
        let value = match files {
            [file] => serde_json::json!({ "file": file, "images": names }),
            parts => serde_json::json!({ "parts": parts, "images": names }),
        };
        self.done(&lines.join("\n"), &value)
    }

    /// What a push came to.
    pub(crate) fn pushed(&self, pushed: &Pushed) -> Result<(), Failure> {
        let parts =
            [(pushed.sent_bytes, "sent"), (pushed.mounted_bytes, "mounted"), (pushed.present_bytes, "already there")];
        self.moved(&pushed.destination, &pushed.digest.to_string(), &parts, pushed)
    }

    /// What a pull came to.
    pub(crate) fn pulled(&self, pulled: &Pulled) -> Result<(), Failure> {
        let parts = [(pulled.fetched_bytes, "fetched"), (pulled.present_bytes, "already here")];
        self.moved(&pulled.name, &pulled.digest.to_string(), &parts, pulled)
    }

    fn moved(&self, name: &str, digest: &str, parts: &[(u64, &str)], value: &impl Serialize) -> Result<(), Failure> {
        if self.is_json() {
            return self.json(value);
        }
        if self.quiet {
            return write_out(&format!("{digest}\n"));
        }
        let parts = parts.iter().filter(|(bytes, _)| *bytes > 0);
        let parts: Vec<String> = parts.map(|(bytes, what)| format!("{} {what}", units::bytes(*bytes))).collect();
        let (name, parts) = (familiar(name), parts.join(", "));
        write_out(&self.fitting(digest, |digest| format!("{name}  {digest}  {parts}\n")))
    }

    /// Which names were taken away and what that freed.
    pub(crate) fn removed(&self, removed: &Removed) -> Result<(), Failure> {
        if self.is_json() {
            return self.json(removed);
        }
        let mut text: String = removed.names.iter().map(|name| format!("{}\n", familiar(name))).collect();
        if !self.quiet {
            match removed.freed_bytes {
                Some(bytes) => text.push_str(&format!("{} freed\n", units::bytes(bytes))),
                None => text.push_str("nothing freed yet: another command writes to the store\n"),
            }
        }
        write_out(&text)
    }
}

/// Name, digest, platforms, and who built it when.
fn head(image: &Inspection, digest: &str) -> String {
    let absent = |platform| if image.absent_platforms.contains(platform) { " (not here)" } else { "" };
    let platforms: Vec<String> =
        image.platforms.iter().map(|platform| format!("{platform}{}", absent(platform))).collect();
    let day = image.created.as_deref().and_then(|created| created.split('T').next());
    let day = day.map(|day| format!(" {day}")).unwrap_or_default();
    let version = &image.sealer_version;
    format!("{}  {digest}  {}  built{day} with sealer {version}\n", familiar(&image.name), platforms.join(", "))
}

fn sizes(sizes: &Sizes) -> String {
    let [total, own, shared] = [sizes.total, sizes.own, sizes.shared].map(units::bytes);
    match sizes.shared_with {
        0 => format!("{total}, shared with no other cluster image"),
        count => format!("{total}: {own} own, {shared} shared with {}", units::count(count, "other cluster image")),
    }
}

/// A whole name as a user writes it; a digest stays as it is.
pub(super) fn familiar(name: &str) -> String {
    let is_digest = name.starts_with("sha256:");
    let reference = if is_digest { None } else { name.parse::<Reference>().ok() };
    reference.map_or_else(|| name.to_owned(), |reference| reference.familiar())
}

/// A heading with one line for each entry, the first beside it; nothing when there is none.
fn section(text: &mut String, title: &str, lines: impl Iterator<Item = String>) {
    for (at, line) in lines.enumerate() {
        let title = if at == 0 { title } else { "" };
        text.push_str(format!("{title:<9} {line}").trim_end());
        text.push('\n');
    }
}

fn platforms(platforms: &[Platform]) -> String {
    platforms.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

/// The first twelve digits of a digest.
pub(super) fn short(digest: &str) -> String {
    digest.strip_prefix("sha256:").unwrap_or(digest).chars().take(12).collect()
}

/// How long ago a time (RFC 3339) was; the time itself when it cannot be read. Images that are built the same each time
/// have the first second of 1970, which says nothing.
pub(super) fn age(created: &str) -> String {
    let Ok(time) = time::OffsetDateTime::parse(created, &time::format_description::well_known::Rfc3339) else {
        return created.to_owned();
    };
    if time == time::OffsetDateTime::UNIX_EPOCH {
        return "-".to_owned();
    }
    let seconds = SystemTime::now().duration_since(time.into()).unwrap_or(Duration::ZERO).as_secs();
    let (count, unit) = match seconds {
        0..60 => (seconds, "second"),
        60..3600 => (seconds / 60, "minute"),
        3600..86_400 => (seconds / 3600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    format!("{} ago", units::count(usize::try_from(count).unwrap_or(usize::MAX), unit))
}

/// What a list of images shows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ImageColumns {
    /// Digests as they are, not the first twelve digits.
    pub(crate) whole_digests: bool,
    /// The line above.
    pub(crate) heading: bool,
    /// A column with the other names of each image.
    pub(crate) other_names: bool,
}

fn without_heading() -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING);
    table
}

/// A table without lines, as kubectl prints them.
pub(super) fn table(head: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(head.iter().copied());
    for column in table.column_iter_mut() {
        column.set_padding((0, 3));
    }
    table
}

pub(super) fn right(table: &mut Table, columns: &[usize]) {
    for column in columns {
        if let Some(column) = table.column_mut(*column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}

pub(super) fn write_table(table: &Table) -> Result<(), Failure> {
    let text: String = table.lines().map(|line| format!("{}\n", line.trim_end())).collect();
    write_out(&text)
}
