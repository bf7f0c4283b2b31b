//! Images are verified, compared, merged, freed and listed.

#![allow(clippy::unwrap_used, missing_docs)]

mod bench;

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::Path;

use bench::Bench;
use cloudimage::{BuildOptions, Change, Filter, PruneOptions, diff};
use content_store::Digest;

const NOBODY: [&str; 0] = [];

async fn build(bench: &Bench, name: &str, kubefile: &str) -> Digest {
    bench.build_with(kubefile, &BuildOptions::named(name)).await.unwrap().digest
}

fn overwrite(path: &Path, bytes: &[u8]) {
    fs::remove_file(path).unwrap();
    fs::write(path, bytes).unwrap();
}

#[tokio::test]
async fn damage_is_named_with_the_images_that_have_it() {
    let bench = Bench::new();
    bench.write("a/file", "common");
    bench.write("b/file", "of one");
    let images = bench.images();
    build(&bench, "one:1", "FROM scratch\nCOPY a a\nCOPY b b\n").await;
    build(&bench, "two:1", "FROM scratch\nCOPY a a\nLABEL x=y\n").await;
    let found = images.verify(&NOBODY, &|_, _| {}).unwrap();
    assert_eq!((found.images.len(), found.damaged.len()), (2, 0));
    let total: u64 = images.content().blobs().unwrap().iter().map(|blob| blob.size).sum();
    assert_eq!(found.bytes, total, "everything was read");

    let one = images.get("one:1").unwrap();
    let (common, own) = (one.layers()[0].digest, one.layers()[1].digest);
    overwrite(&images.content().blob_path(&common), b"other bytes");
    fs::remove_file(images.content().blob_path(&own)).unwrap();
    let found = images.verify(&NOBODY, &|_, _| {}).unwrap();
    let damaged: Vec<_> = found.damaged.iter().map(|damage| (damage.digest, damage.images.clone())).collect();
    let both = ["docker.io/library/one:1", "docker.io/library/two:1"].map(str::to_owned).to_vec();
    let mut expected = [(common, both.clone()), (own, both[..1].to_vec())];
    expected.sort();
    assert_eq!(damaged, expected);
    let problem = |digest| &found.damaged.iter().find(|damage| damage.digest == digest).unwrap().problem;
    assert!(problem(common).contains("it is corrupt") && problem(own) == "it is missing", "{:?}", found.damaged);
    assert!(problem(common).contains("it was removed") && !images.content().contains(&common));
    assert_eq!(images.verify(&["two:1"], &|_, _| {}).unwrap().damaged[0].problem, "it is missing");

    // A document that is damaged says nothing of what is below; the others are still read.
    let index = *images.get("two:1").unwrap().index_digest();
    overwrite(&images.content().blob_path(&index), b"{}");
    let found = images.verify(&NOBODY, &|_, _| {}).unwrap();
    assert_eq!(found.damaged.len(), 3, "{:?}", found.damaged);
    assert!(images.content().contains(&index), "a document stays");
    assert!(images.verify(&["nobody:1"], &|_, _| {}).is_err());
}

#[tokio::test]
async fn a_difference_is_layers_files_images_and_bytes() {
    let bench = Bench::new();
    for (path, text) in [("base/kept", "1"), ("base/changed", "1"), ("base/gone", "1"), ("old/same", "s")] {
        bench.write(path, text);
    }
    build(&bench, "shop:1", "FROM scratch\nCOPY base base\nCOPY old top\n").await;
    bench.write("base/changed", "2");
    fs::remove_file(bench.context().join("base/gone")).unwrap();
    bench.write("base/new", "2");
    build(&bench, "shop:2", "FROM scratch\nCOPY base base\nCOPY old top\n").await;
    let (old, new) = (bench.images().get("shop:1").unwrap(), bench.images().get("shop:2").unwrap());
    let found = diff(&old, &new).unwrap();
    let files: Vec<(Change, &str)> = found.files.iter().map(|file| (file.change, file.path.as_str())).collect();
    let expected = [(Change::Changed, "base/changed"), (Change::Removed, "base/gone"), (Change::Added, "base/new")];
    assert_eq!(files, expected);
    assert_eq!((found.layers_removed.len(), found.layers_added.len(), found.layers_shared), (1, 1, 1));
    let theirs: BTreeSet<Digest> = old.blobs().into_keys().collect();
    let moved = new.blobs().into_iter().filter(|(digest, _)| !theirs.contains(digest));
    assert_eq!(found.bytes_to_move, moved.map(|(_, size)| size).sum::<u64>());
    let same = diff(&old, &old).unwrap();
    assert_eq!((same.files.len(), same.bytes_to_move, same.layers_shared), (0, 0, 2));

    // What only stands in other layers, or in another order, is no difference; a mode is one.
    build(&bench, "flat:1", "FROM scratch\nCOPY old top\nCOPY base base\n").await;
    assert_eq!(diff(&new, &bench.images().get("flat:1").unwrap()).unwrap().files, []);
    build(&bench, "mode:1", "FROM scratch\nCOPY --chmod=600 base base\nCOPY old top\n").await;
    let found = diff(&new, &bench.images().get("mode:1").unwrap()).unwrap();
    assert!(found.files.iter().all(|file| file.change == Change::Changed) && found.files.len() == 3, "{found:?}");
}

#[tokio::test]
async fn a_history_has_the_last_step_first_and_every_layer() {
    let bench = Bench::new();
    bench.write("a/file", "x");
    build(&bench, "shop:1", "FROM scratch\nCOPY a a\nCMD echo\n").await;
    let image = bench.images().get("shop:1").unwrap();
    let steps = image.history();
    let shown: Vec<(&str, bool)> = steps.iter().map(|step| (step.created_by.as_str(), step.layer.is_some())).collect();
    assert_eq!(shown, [("CMD echo", false), ("COPY a a", true)]);
    assert_eq!(steps.iter().map(|step| step.size).sum::<u64>(), image.rootfs_bytes());
}

#[tokio::test]
async fn pruning_frees_what_no_image_needs_and_nothing_while_somebody_writes() {
    let bench = Bench::new();
    bench.write("a/file", "x");
    let images = bench.images();
    build(&bench, "shop:1", "FROM scratch\nCOPY a a\n").await;
    let garbage = images.content().put(b"nobody needs this").unwrap();
    let mut partial = images.content().partial(&Digest::of(b"a download")).unwrap();
    partial.write_all(b"a down").unwrap();
    let refused = images.prune(PruneOptions::default()).unwrap_err().to_string();
    assert!(refused.contains("is being written to"), "{refused}");
    drop(partial);

    let dry = images.prune(PruneOptions::new(false, true)).unwrap();
    assert_eq!((dry.blobs.count, dry.blobs.bytes, dry.downloads.count), (1, garbage.size, 0));
    assert!(images.content().contains(&garbage.digest), "nothing was freed");
    assert_eq!(images.prune(PruneOptions::default()).unwrap(), dry);
    assert!(!images.content().contains(&garbage.digest));
    let nothing = images.prune(PruneOptions::default()).unwrap();
    assert_eq!(nothing.bytes(), 0, "{nothing:?}");

    let all = images.prune(PruneOptions::new(true, true)).unwrap();
    assert_eq!((all.blobs.count, all.downloads.count, all.downloads.bytes), (0, 1, 6));
    assert!(all.build_cache.count > 0, "{all:?}");
    assert_eq!(images.prune(PruneOptions::new(true, false)).unwrap(), all);
    assert_eq!(images.prune(PruneOptions::new(true, false)).unwrap().bytes(), 0);
    assert_eq!(images.verify(&NOBODY, &|_, _| {}).unwrap().damaged, [], "the image is whole");
    bench.build("FROM shop:1\nCOPY a b\n").await.unwrap();

    // A document that decides what is needed is damaged: nothing is freed.
    let index = *images.get("shop:1").unwrap().index_digest();
    overwrite(&images.content().blob_path(&index), b"{}");
    let blobs = images.content().blobs().unwrap().len();
    assert!(images.prune(PruneOptions::default()).is_err());
    assert_eq!(images.content().blobs().unwrap().len(), blobs);
}

#[tokio::test]
async fn merged_images_are_stacked_and_their_conflicts_named() {
    let bench = Bench::new();
    for (path, text) in [("base/kubeadm", "k"), ("one/file", "1"), ("two/file", "2"), ("same/file", "s")] {
        bench.write(path, text);
    }
    let images = bench.images();
    build(&bench, "base:1", "FROM scratch\nCOPY base/kubeadm bin/\nLABEL of=base\nCMD start\n").await;
    build(&bench, "one:1", "FROM base:1\nCOPY one top\nCOPY same same\nLABEL of=one\nENV A=1\nCMD one\n").await;
    build(&bench, "two:1", "FROM base:1\nCOPY two top\nCOPY same/file same/\nCOPY same extra\nLABEL of=two\nCMD two\n")
        .await;
    let merged = images.merge(&["one:1", "two:1"], "both:1", &[]).unwrap();
    let conflicts: Vec<(&str, &str, &str)> =
        merged.conflicts.iter().map(|one| (one.kind, one.name.as_str(), one.winner.as_str())).collect();
    assert_eq!(conflicts, [("file", "top/file", "two:1"), ("label", "of", "two:1")]);
    let both = images.get("both:1").unwrap();
    assert_eq!(*both.index_digest(), merged.digest);
    assert_eq!(both.list_files().unwrap(), ["bin/kubeadm", "extra/file", "same/file", "top/file"]);
    assert_eq!(both.read_files(&["top/file"], 10).unwrap()["top/file"], b"2");
    assert_eq!(both.launch_commands(&Default::default()), ["start", "one", "two"]);
    assert_eq!(both.labels()["of"], "two");
    assert_eq!(both.extension().env["A"], "1");
    assert_eq!(format!("{:?}", both.extension().kind), "KubeInstaller");
    let made: Vec<&str> = both.layers().iter().map(|layer| layer.created_by.as_str()).collect();
    assert_eq!(made[0], "COPY base/kubeadm bin/");
    assert_eq!(
        made.iter().filter(|step| step.starts_with("COPY base")).count(),
        1,
        "the common base is in it once: {made:?}"
    );
    assert_eq!(images.verify(&["both:1"], &|_, _| {}).unwrap().damaged, []);
    // The same again is the same image; an image merged with its base is itself, as far as its files go.
    assert_eq!(images.merge(&["one:1", "two:1"], "again:1", &[]).unwrap().digest, merged.digest);
    images.merge(&["base:1", "one:1"], "onto:1", &[]).unwrap();
    let (one, onto) = (images.get("one:1").unwrap(), images.get("onto:1").unwrap());
    assert_eq!(diff(&one, &onto).unwrap().files, []);
    assert_eq!(onto.layers().len(), one.layers().len());

    let arm = "linux/arm64".parse().unwrap();
    let mut options = BuildOptions::named("arm:1");
    options.platforms = vec![arm];
    bench.build_with("FROM scratch\nCOPY one one\n", &options).await.unwrap();
    let refused = images.merge(&["one:1", "arm:1"], "x:1", &[]).unwrap_err().to_string();
    assert!(refused.contains("there is no platform that all of them are built for"), "{refused}");
    images.merge(&["one:1", "nobody:1"], "x:1", &[]).unwrap_err();
    assert!(images.get("x:1").is_err());
}

#[tokio::test]
async fn lists_are_filtered() {
    let bench = Bench::new();
    bench.write("a/file", "x");
    build(&bench, "shop:1", "FROM scratch\nCOPY a a\nLABEL team=shop\n").await;
    build(&bench, "other.example.com/shop/web:2", "FROM scratch\nCOPY a a\n").await;
    let names = |filters: &[&str]| {
        let filters: Vec<Filter> = filters.iter().map(|filter| filter.parse().unwrap()).collect();
        let list = bench.images().list_matching(&filters).unwrap();
        list.into_iter().map(|summary| summary.familiar).collect::<Vec<_>>()
    };
    assert_eq!(names(&["reference=shop*"]), ["shop:1"]);
    assert_eq!(names(&["reference=*shop*"]), ["shop:1", "other.example.com/shop/web:2"]);
    assert_eq!(names(&["label=team"]), ["shop:1"]);
    assert_eq!(names(&["label=team=shop", "platform=linux/amd64"]), ["shop:1"]);
    assert_eq!(names(&["label=team=web"]), NOBODY);
    assert_eq!(names(&["platform=linux/arm64"]), NOBODY);
    for wrong in ["shop", "name=shop", "reference=[", "label=", "platform=x"] {
        assert!(wrong.parse::<Filter>().is_err(), "{wrong}");
    }
}
