//! Prints what the tools for images find: histories, differences, damage, what was freed, merged or mounted.

use sealer_core::cloudimage::{
    Amount, Change, Difference, HistoryStep, Inspection, MergedImage, Mounted, Pruned, Verification,
};
use sealer_core::content_store::{Check, Freed};

use super::images::{age, familiar, right, short, table, write_table};
use super::layout::{printable, shorten};
use super::{Printer, template, units, write_out};
use crate::exit::Failure;

/// Most files and conflicts that are listed for people; JSON has all.
const LISTED: usize = 100;

impl Printer {
    /// Fields of an inspection in the user's form.
    pub(crate) fn template(&self, text: &str, image: &Inspection) -> Result<(), Failure> {
        let failed = |error: serde_json::Error| Failure::Output { path: "the result".to_owned(), source: error.into() };
        let value = serde_json::to_value(image).map_err(failed)?;
        write_out(&template::fill(text, &value).map_err(|reason| Failure::Usage(format!("--format: {reason}")))?)
    }

    /// The steps that made an image.
    pub(crate) fn history(&self, steps: &[HistoryStep], whole: bool) -> Result<(), Failure> {
        if self.is_json() {
            return self.json(&steps);
        }
        let mut table = table(&["LAYER", "CREATED", "CREATED BY", "SIZE"]);
        let room = if whole { usize::MAX } else { self.room().clamp(80, 200) - 45 };
        for step in steps {
            let layer = step.layer.map(|layer| layer.to_string()).unwrap_or_default();
            let made = printable(&step.created_by.replace('\n', " "));
            table.add_row([
                if whole { layer } else { short(&layer) },
                step.created.as_deref().map(age).unwrap_or_default(),
                shorten(&made, room),
                units::bytes(step.size),
            ]);
        }
        right(&mut table, &[3]);
        write_table(&table)
    }

    /// What is different in another image.
    pub(crate) fn difference(&self, difference: &Difference) -> Result<(), Failure> {
        if self.is_json() {
            return self.json(difference);
        }
        let mut lines = Vec::new();
        for (sign, layers) in [('-', &difference.layers_removed), ('+', &difference.layers_added)] {
            for layer in layers {
                let (digest, size) = (short(&layer.digest.to_string()), units::bytes(layer.size));
                lines.push(format!("layer {sign} {digest}  {size:>8}  {}", printable(&layer.created_by)));
            }
        }
        for image in &difference.images {
            let digests = [image.from, image.to].map(|digest| digest.map(|digest| short(&digest.to_string())));
            let digests: Vec<String> = digests.into_iter().flatten().collect();
            let name = familiar(&image.reference);
            lines.push(format!("image {} {name}  {}", sign(image.change), digests.join(" -> ")));
        }
        for file in difference.files.iter().take(LISTED) {
            lines.push(format!("file  {} {}", sign(file.change), printable(&file.path)));
        }
        more(&mut lines, difference.files.len(), "file");
        let (blobs, bytes) = (difference.blobs_to_move, units::bytes(difference.bytes_to_move));
        let blobs = units::count(usize::try_from(blobs).unwrap_or(usize::MAX), "blob");
        lines.push(format!("{bytes} in {blobs} to move; {} shared", units::count(difference.layers_shared, "layer")));
        write_out(&format!("{}\n", lines.join("\n")))
    }

    /// What is damaged.
    pub(crate) fn verification(&self, found: &Verification) -> Result<(), Failure> {
        if self.is_json() {
            return self.json(found);
        }
        let mut lines = Vec::new();
        for damage in &found.damaged {
            lines.push(format!("{}: {}", damage.digest, damage.problem));
            lines.extend(damage.images.iter().map(|image| format!("  part of {}", familiar(image))));
        }
        if !self.quiet {
            let images = units::count(found.images.len(), "image");
            let blobs = units::count(usize::try_from(found.blobs).unwrap_or(usize::MAX), "blob");
            lines.push(format!(
                "{images}, {blobs}, {} read, {} damaged",
                units::bytes(found.bytes),
                found.damaged.len()
            ));
        }
        write_out(&lines.iter().map(|line| format!("{line}\n")).collect::<String>())
    }

    /// What was freed, or would be.
    pub(crate) fn pruned(&self, pruned: &Pruned, dry_run: bool) -> Result<(), Failure> {
        if self.is_json() {
            let failed =
                |error: serde_json::Error| Failure::Output { path: "the result".to_owned(), source: error.into() };
            let mut value = serde_json::to_value(pruned).map_err(failed)?;
            value["bytes"] = pruned.bytes().into();
            value["dryRun"] = dry_run.into();
            return self.json(&value);
        }
        let row = |amount: Amount, noun: &str| {
            let count = usize::try_from(amount.count).unwrap_or(usize::MAX);
            (count > 0).then(|| format!("{:>8}  {}\n", units::bytes(amount.bytes), units::count(count, noun)))
        };
        let rows = [
            row(pruned.blobs, "blob"),
            row(pruned.downloads, "interrupted download"),
            row(pruned.layers, "unpacked layer"),
            row(pruned.build_cache, "build result"),
        ];
        let text: String = rows.into_iter().flatten().filter(|_| !self.quiet).collect();
        let done = if dry_run { "would be freed" } else { "freed" };
        write_out(&format!("{text}{} {done}\n", units::bytes(pruned.bytes())))
    }

    /// What a collection of garbage removed.
    pub(crate) fn collected(&self, freed: &Freed) -> Result<(), Failure> {
        if self.is_json() {
            return self.json(&serde_json::json!({ "blobs": freed.blobs, "bytes": freed.bytes }));
        }
        let blobs = units::count(usize::try_from(freed.blobs).unwrap_or(usize::MAX), "blob");
        write_out(&format!("{blobs}, {} freed\n", units::bytes(freed.bytes)))
    }

    /// What is damaged or missing in a store.
    pub(crate) fn checked_store(&self, found: &Check) -> Result<(), Failure> {
        if self.is_json() {
            let problems: Vec<_> = found
                .problems
                .iter()
                .map(|(digest, problem)| serde_json::json!({ "digest": digest, "problem": problem }))
                .collect();
            return self.json(&serde_json::json!({ "blobs": found.blobs, "bytes": found.bytes, "problems": problems }));
        }
        let mut text: String = found.problems.values().map(|problem| format!("{problem}\n")).collect();
        if !self.quiet {
            let blobs = units::count(usize::try_from(found.blobs).unwrap_or(usize::MAX), "blob");
            let problems = units::count(found.problems.len(), "problem");
            text.push_str(&format!("{blobs}, {} read, {problems}\n", units::bytes(found.bytes)));
        }
        write_out(&text)
    }

    /// Settings that can be used.
    pub(crate) fn usable(&self) -> Result<(), Failure> {
        match self.is_json() {
            true => self.json(&serde_json::json!({ "usable": true })),
            false if self.quiet => Ok(()),
            false => write_out("the settings can be used\n"),
        }
    }

    /// A merged image and where its parts disagree.
    pub(crate) fn merged(&self, merged: &MergedImage) -> Result<(), Failure> {
        if self.is_json() {
            return self.json(merged);
        }
        for conflict in merged.conflicts.iter().take(LISTED) {
            let (kind, name, winner) = (conflict.kind, printable(&conflict.name), &conflict.winner);
            self.warn(&match kind {
                "deleted file" => format!("file {name}: {winner} deletes it"),
                _ => format!("{kind} {name}: that of {winner} is taken"),
            });
        }
        if merged.conflicts.len() > LISTED {
            self.warn(&format!("{} more conflicts: -o json shows all", merged.conflicts.len() - LISTED));
        }
        let platforms: Vec<String> = merged.platforms.iter().map(ToString::to_string).collect();
        let carried = units::count(merged.carried_images, "carried image");
        let digest = merged.digest;
        write_out(&format!("{}  {digest}  {}  {carried}\n", familiar(&merged.name), platforms.join(", ")))
    }

    /// The images that are mounted.
    pub(crate) fn mounts(&self, mounts: &[Mounted]) -> Result<(), Failure> {
        if self.is_json() {
            return self.json(&mounts);
        }
        if self.quiet {
            return write_out(&mounts.iter().map(|mount| format!("{}\n", mount.path.display())).collect::<String>());
        }
        let mut table = table(&["IMAGE", "PLATFORM", "MOUNTED ON"]);
        for mount in mounts {
            let path = mount.path.display().to_string();
            table.add_row([familiar(&mount.image), mount.platform.to_string(), path]);
        }
        write_table(&table)
    }
}

fn sign(change: Change) -> char {
    match change {
        Change::Added => '+',
        Change::Removed => '-',
        Change::Changed => '~',
    }
}

fn more(lines: &mut Vec<String>, count: usize, noun: &str) {
    if count > LISTED {
        lines.push(format!("… {} more: -o json shows all", units::count(count - LISTED, noun)));
    }
}
