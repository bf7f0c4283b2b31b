//! A Kubefile becomes the image that the format promises, and it can be read and unpacked.

#![allow(clippy::unwrap_used, missing_docs)]

mod bench;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use bench::Bench;
use cloudimage::{BuildEvent, BuildOptions, Compression, Error, StepOutcome, unpack};

#[tokio::test]
async fn a_first_image_is_built_read_and_unpacked() {
    let bench = Bench::new();
    bench.write("Kubefile.d/ignored", "x");
    bench.write("rootfs/bin/kubeadm", "#!/bin/sh\n");
    bench.write("rootfs/etc/kubeadm.yml", "kind: ClusterConfiguration\n");
    bench.write("manifests/app.yaml", "kind: Deployment\n");
    fs::set_permissions(bench.context().join("rootfs/bin/kubeadm"), fs::Permissions::from_mode(0o755)).unwrap();
    symlink("kubeadm", bench.context().join("rootfs/bin/link")).unwrap();
    let built = bench
        .build("FROM scratch\nCOPY rootfs .\nCOPY manifests manifests\nLABEL a.b/c=\"v\"\nENV COLOUR=red\nCMD kubectl apply -f manifests\nCMD [\"echo\", \"two words\"]\n")
        .await
        .unwrap();
    assert_eq!(built.reference.as_ref().unwrap().to_string(), "docker.io/library/shop:1.4");
    let image = bench.images().get("shop:1.4").unwrap();
    assert_eq!(image.index_digest(), &built.digest);
    assert_eq!(image.list_files().unwrap(), ["bin/kubeadm", "bin/link", "etc/kubeadm.yml", "manifests/app.yaml"]);
    let files = image.read_files(&["etc/kubeadm.yml", "bin/link", "missing", "../etc/kubeadm.yml"], 1000).unwrap();
    assert_eq!(files["etc/kubeadm.yml"], b"kind: ClusterConfiguration\n");
    assert_eq!(files["bin/link"], b"#!/bin/sh\n", "links are followed");
    assert!(!files.contains_key("missing"));
    assert_eq!(image.labels()["a.b/c"], "v");
    assert_eq!(image.launch_commands(&BTreeMap::new()), ["kubectl apply -f manifests", "echo 'two words'"]);

    let rootfs = bench.path("unpacked/rootfs");
    fs::create_dir_all(rootfs.parent().unwrap()).unwrap();
    let mut bytes = 0;
    unpack(bench.images().content(), image.layers(), &rootfs, &mut |count| bytes += count).unwrap();
    assert_eq!(bytes, 10 + 27 + 17);
    let kubeadm = rootfs.join("bin/kubeadm").metadata().unwrap();
    assert_eq!((kubeadm.permissions().mode() & 0o7777, kubeadm.mtime()), (0o755, 0));
    assert_eq!(fs::read_link(rootfs.join("bin/link")).unwrap(), Path::new("kubeadm"));
    assert!(!bench.path("unpacked/rootfs.partial").exists());
}

#[tokio::test]
async fn the_same_inputs_give_the_same_digest_elsewhere_and_later() {
    let kubefile = "FROM scratch\nCOPY . .\nENV A=b\nLABEL x=y\nCMD run\n";
    let mut digests = Vec::new();
    for compression in [Compression::Zstd, Compression::Gzip, Compression::None] {
        let mut of_compression = Vec::new();
        for round in 0..2 {
            let bench = Bench::new();
            // Written in another order, at another time.
            let mut names: Vec<String> = (0..50).map(|number| format!("d{}/file-{number}", number % 7)).collect();
            if round == 1 {
                names.reverse();
                tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
            }
            for name in &names {
                bench.write(name, &name.repeat(1000));
            }
            let options = bench.options_with(|options| options.compression = compression);
            of_compression.push(bench.build_with(kubefile, &options).await.unwrap().digest);
        }
        assert_eq!(of_compression[0], of_compression[1], "{compression:?}");
        digests.push(of_compression[0]);
    }
    digests.dedup();
    assert_eq!(digests.len(), 3, "the compression is part of the image");
}

#[tokio::test]
async fn what_older_images_relied_on_is_warned_of() {
    let bench = Bench::new();
    bench.write("manifests/a.yaml", "a");
    bench.write("redis/b.yaml", "b");
    let kubefile = "FROM scratch\nCOPY manifests .\nCOPY redis manifests\nCOPY redis/ etc\nCOPY redis redis\n\
        CMD [\"kubectl apply -f manifests/a.yaml\", \"kubectl apply -f manifests/b.yaml -f a.yaml\"]\n";
    bench.build(kubefile).await.unwrap();
    let warning = |event| match event {
        BuildEvent::Warning { message } => Some(message),
        _ => None,
    };
    let warnings: Vec<String> = bench.events().into_iter().filter_map(warning).collect();
    assert_eq!(
        warnings,
        [
            "line 2: what is in manifests goes into ., not manifests itself (as docker and upstream since 0.9 do); `COPY manifests manifests` keeps the directory",
            "line 3: what is in redis goes into manifests, not redis itself (as docker and upstream since 0.9 do); `COPY redis manifests/redis` keeps the directory",
            "the launch command `kubectl apply -f manifests/a.yaml` names manifests/a.yaml, which the rootfs does not hold",
        ]
    );
    let image = bench.images().get("shop:1.4").unwrap();
    assert_eq!(image.extension().launch.cmds.len(), 2, "a list of command lines");
}

#[tokio::test]
async fn source_date_epoch_is_the_time_of_everything() {
    let bench = Bench::new();
    bench.write("file", "x");
    let options = bench.options_with(|options| options.source_date_epoch = Some(1_700_000_000));
    bench.build_with("FROM scratch\nCOPY file file\n", &options).await.unwrap();
    let image = bench.images().get("shop:1.4").unwrap();
    assert_eq!(image.config().unwrap().created.as_deref(), Some("2023-11-14T22:13:20Z"));
    let rootfs = bench.path("rootfs");
    unpack(bench.images().content(), image.layers(), &rootfs, &mut |_| {}).unwrap();
    assert_eq!(rootfs.join("file").metadata().unwrap().mtime(), 1_700_000_000);
}

#[tokio::test]
async fn an_unchanged_layer_is_not_made_again() {
    let bench = Bench::new();
    bench.write("a/file", "one");
    bench.write("b/file", "two");
    let kubefile = "FROM scratch\nCOPY a a\nCOPY b b\n";
    let first = bench.build(kubefile).await.unwrap();
    assert_eq!(bench.cached(), [false, false]);
    let second = bench.build(kubefile).await.unwrap();
    assert_eq!(bench.cached(), [true, true]);
    assert_eq!((first.digest, second.new_bytes), (second.digest, 0));
    bench.write("b/file", "changed");
    bench.build(kubefile).await.unwrap();
    assert_eq!(bench.cached(), [true, false]);
    bench.write("a/file", "changed");
    bench.build(kubefile).await.unwrap();
    assert_eq!(bench.cached(), [false, false], "what stands on a changed layer is made again");
    let options = bench.options_with(|options| options.no_cache = true);
    bench.build_with(kubefile, &options).await.unwrap();
    assert_eq!(bench.cached(), [false, false]);
}

#[tokio::test]
async fn copy_follows_dockers_rules_and_the_rootfs_convention() {
    let bench = Bench::new();
    for file in ["imageList.txt", "one.yaml", "two.yaml", "charts/a/Chart.yaml", ".hidden", "secret.key"] {
        bench.write(file, file);
    }
    bench.write(".sealerignore", "*.key\n");
    bench.write("list", "");
    let kubefile = "FROM scratch\n\
        COPY one.yaml manifests\n\
        COPY one.yaml renamed.yaml\n\
        COPY *.yaml many/\n\
        COPY charts charts\n\
        COPY charts/a/ /deep/er\n\
        COPY two.yaml many\n\
        COPY --chmod=0700 --chown=12:34 one.yaml owned/\n\
        COPY <<text notes/\nhello\ntext\n\
        COPY . all\n";
    bench.build(kubefile).await.unwrap();
    let image = bench.images().get("shop:1.4").unwrap();
    let files = image.list_files().unwrap();
    let expected = [
        "all/.hidden",
        "all/charts/a/Chart.yaml",
        "all/imageList.txt",
        "all/list",
        "all/one.yaml",
        "all/two.yaml",
        "charts/a/Chart.yaml",
        "deep/er/Chart.yaml",
        "manifests/one.yaml",
        "many/one.yaml",
        "many/two.yaml",
        "notes/text",
        "owned/one.yaml",
        "renamed.yaml",
    ];
    assert_eq!(files, expected);
}

#[tokio::test]
async fn a_child_stands_on_its_base() {
    let bench = Bench::new();
    bench.write("base/etc/base.conf", "base");
    bench.write("child/etc/child.conf", "child");
    let options = BuildOptions::named("base:1");
    let kubefile = "FROM scratch\nARG WHO=world\nCOPY base .\nENV A=1 B=2\nLABEL l=base k=base\nCMD echo base $WHO\n";
    bench.build_with(kubefile, &options).await.unwrap();
    bench.build("FROM base:1\nCOPY child .\nENV B=3\nLABEL l=child\nCMD echo child\n").await.unwrap();
    let image = bench.images().get("shop:1.4").unwrap();
    assert_eq!(image.list_files().unwrap(), ["etc/base.conf", "etc/child.conf"]);
    assert_eq!(image.config().unwrap().config.env.clone().unwrap(), ["A=1", "B=3"]);
    assert_eq!((image.labels()["l"].as_str(), image.labels()["k"].as_str()), ("child", "base"));
    let overrides = BTreeMap::from([("WHO".to_owned(), "it's me".to_owned())]);
    assert_eq!(image.launch_commands(&overrides), [r"export WHO='it'\''s me'; echo base $WHO", "echo child"]);
    let inspection = bench.images().inspect("shop:1.4").unwrap();
    assert_eq!(inspection.sizes.shared_with, 1);
    assert!(inspection.sizes.shared > 0 && inspection.sizes.own > 0);
}

#[tokio::test]
async fn faults_of_a_kubefile_name_their_line_and_leave_no_name() {
    let bench = Bench::new();
    bench.write("manifests/app.yaml", "x");
    let cases = [
        ("FROM nothing:1\n", "cluster image nothing:1 is not in the store"),
        ("FROM scratch\nCOPY manifest manifests\n", "line 2: there is no manifest in the build context"),
        ("FROM scratch\nCOPY ../x x\n", "line 2: ../x leads out of the build context"),
        ("FROM scratch\nCOPY --chown=alice manifests m\n", "line 2: the owner alice is not known"),
        ("FROM scratch\n\nCOPY manifests/app.yaml .sealerignore* x\n", "line 3: there is no .sealerignore*"),
        ("FROM scratch\nADD http://127.0.0.1:1/x x\n", "line 2: cannot download http://127.0.0.1:1/x"),
    ];
    for (kubefile, expected) in cases {
        let message = bench.build(kubefile).await.unwrap_err().to_string();
        assert!(message.contains(expected), "{kubefile}: {message}");
        assert!(bench.images().list().unwrap().is_empty(), "{kubefile} left a name");
    }
}

#[tokio::test]
async fn add_unpacks_archives_and_copy_does_not() {
    let bench = Bench::new();
    let mut tar = tar::Builder::new(Vec::new());
    for (path, text) in [("z/target", "hello"), ("script.sh", "#!/bin/sh")] {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o750);
        tar.append_data(&mut header, path, text.as_bytes()).unwrap();
    }
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Link);
    header.set_size(0);
    tar.append_link(&mut header, "a-link", "z/target").unwrap();
    let tar = tar.into_inner().unwrap();
    fs::write(bench.context().join("tools.tar"), &tar).unwrap();
    fs::write(bench.context().join("tools.tar.zst"), zstd::encode_all(&tar[..], 1).unwrap()).unwrap();
    bench.write("plain.txt", "plain");
    bench.write("x.tar.xz", "\u{0}");
    fs::write(bench.context().join("x.tar.xz"), b"\xfd7zXZ\0rest").unwrap();
    bench
        .build("FROM scratch\nADD tools.tar /opt/\nADD tools.tar.zst plain.txt /usr/\nCOPY tools.tar kept/\n")
        .await
        .unwrap();
    let image = bench.images().get("shop:1.4").unwrap();
    let expected = [
        "kept/tools.tar",
        "opt/a-link",
        "opt/script.sh",
        "opt/z/target",
        "usr/a-link",
        "usr/plain.txt",
        "usr/script.sh",
        "usr/z/target",
    ];
    assert_eq!(image.list_files().unwrap(), expected);
    assert_eq!(
        image.read_files(&["usr/z/target"], 100).unwrap()["usr/z/target"],
        b"hello",
        "a link is read at its target"
    );
    let rootfs = bench.path("rootfs");
    unpack(bench.images().content(), image.layers(), &rootfs, &mut |_| {}).unwrap();
    let inodes = ["opt/a-link", "opt/z/target"].map(|path| rootfs.join(path).metadata().unwrap().ino());
    assert_eq!(inodes[0], inodes[1]);
    let error = bench.build("FROM scratch\nADD x.tar.xz /\n").await.unwrap_err();
    assert!(matches!(error, Error::Unsupported { line: 2, .. }), "{error}");
}

#[tokio::test]
async fn add_unpacks_sparse_files() {
    let bench = Bench::new();
    let (outside, archive) = (bench.path("disk"), bench.context().join("disks.tar"));
    let disk = fs::File::create(&outside).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&disk, b"data", 3 << 20).unwrap();
    disk.set_len(5 << 20).unwrap();
    fs::write(bench.path("after"), "dense").unwrap();
    for form in ["gnu", "posix"] {
        let mut tar = std::process::Command::new("tar");
        tar.args(["--sparse", "--format", form, "-cf"])
            .arg(&archive)
            .arg("-C")
            .arg(bench.path(""))
            .args(["disk", "after"]);
        assert!(tar.status().unwrap().success());
        bench.build("FROM scratch\nADD disks.tar .\n").await.unwrap();
        let image = bench.images().get("shop:1.4").unwrap();
        let rootfs = bench.path(form);
        unpack(bench.images().content(), image.layers(), &rootfs, &mut |_| {}).unwrap();
        assert!(fs::read(rootfs.join("disk")).unwrap() == fs::read(&outside).unwrap(), "{form}");
        assert_eq!(fs::read_to_string(rootfs.join("after")).unwrap(), "dense");
    }
}

#[tokio::test]
async fn add_follows_the_links_of_the_rootfs() {
    let bench = Bench::new();
    bench.write("base/usr/bin/sh", "sh");
    std::os::unix::fs::symlink("usr/bin", bench.context().join("base/bin")).unwrap();
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(1);
    header.set_mode(0o755);
    tar.append_data(&mut header, "bin/tool", &b"x"[..]).unwrap();
    fs::write(bench.context().join("tool.tar"), tar.into_inner().unwrap()).unwrap();
    bench.build("FROM scratch\nCOPY base .\nADD tool.tar .\n").await.unwrap();
    let image = bench.images().get("shop:1.4").unwrap();
    assert_eq!(image.list_files().unwrap(), ["bin", "usr/bin/sh", "usr/bin/tool"]);
}

#[tokio::test]
async fn what_is_left_out_is_not_opened() {
    let bench = Bench::new();
    bench.write("ok", "x");
    // Whoever opens this fails, root too.
    fs::create_dir_all(bench.context().join("locked").join("d/".repeat(300))).unwrap();
    assert!(bench.build("FROM scratch\nCOPY . .\n").await.is_err());
    for rules in ["locked", "*\n!ok", "locked/**", "*\n!other/x\n!ok"] {
        bench.write(".sealerignore", rules);
        bench.build("FROM scratch\nCOPY . .\n").await.unwrap();
        assert_eq!(bench.images().get("shop:1.4").unwrap().list_files().unwrap(), ["ok"], "{rules}");
    }
    bench.write(".sealerignore", "locked");
    let message = bench.build("FROM scratch\nCOPY locked x\n").await.unwrap_err().to_string();
    assert!(message.contains("locked is left out by .sealerignore"), "{message}");
}

#[tokio::test]
async fn sockets_are_refused() {
    let bench = Bench::new();
    bench.write("run/file", "x");
    let _socket = std::os::unix::net::UnixListener::bind(bench.context().join("run/s.sock")).unwrap();
    for source in ["run/s.sock", "run", "."] {
        let message = bench.build(&format!("FROM scratch\nCOPY {source} x/\n")).await.unwrap_err().to_string();
        assert!(message.starts_with("line 2: ") && message.contains("run/s.sock is a socket"), "{message}");
    }
    bench.write(".sealerignore", "run/*.sock\n");
    bench.build("FROM scratch\nCOPY run x\n").await.unwrap();
}

#[tokio::test]
async fn applications_are_recorded_as_upstream_does() {
    let bench = Bench::new();
    bench.write("chart/Chart.yaml", "name: shop");
    bench.write("deploy.yaml", "kind: Deployment");
    bench.write("install.sh", "true");
    bench.write("data.bin", "x");
    let kubefile = "FROM scratch\nAPP shop local://chart\nAPP web local://deploy.yaml\nAPP tool local://install.sh\nCNI calico local://data.bin\n\
        APPCMDS calico [\"kubectl apply -f calico\"]\nAPPENV calico MODE=vxlan\nKUBEVERSION >=1.20\nLAUNCH [\"calico\", \"web\", \"shop\", \"tool\"]\n";
    bench.build(kubefile).await.unwrap();
    let image = bench.images().get("shop:1.4").unwrap();
    assert_eq!(
        image.launch_commands(&BTreeMap::new()),
        [
            "export MODE=vxlan; cd application/apps/calico && kubectl apply -f calico",
            "kubectl apply -f application/apps/web/deploy.yaml",
            "helm upgrade --install shop application/apps/shop/",
            "bash application/apps/tool/install.sh",
        ]
    );
    assert_eq!(image.labels()["cluster.alpha.sealer.io/kube-cni-calico"], "true");
    assert_eq!(image.labels()["app.alpha.sealer.io/supported-kube-version"], ">=1.20");
    let error = bench.build("FROM scratch\nAPP x local://data.bin\nLAUNCH [\"x\"]\n").await.unwrap_err();
    assert!(error.to_string().contains("APPCMDS"), "{error}");
    for (kubefile, part) in [
        ("FROM scratch\nAPP web local://deploy.yaml\nAPP Web local://deploy.yaml\n", "web and Web differ only in"),
        ("FROM scratch\nAPP web local://deploy.yaml\nKUBEVERSION newest\n", "`newest` is no version"),
    ] {
        let error = bench.build(kubefile).await.unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
}

#[tokio::test]
async fn run_changes_become_a_layer_and_failures_leave_nothing() {
    let bench = Bench::new();
    bench.write("file", "x");
    let kubefile = "FROM scratch\nCOPY file file\nRUN mkdir -p etc && echo made > etc/made\n";
    bench.build(kubefile).await.unwrap();
    let image = bench.images().get("shop:1.4").unwrap();
    assert_eq!(image.list_files().unwrap(), ["etc/made", "file"]);
    bench.build(kubefile).await.unwrap();
    assert_eq!(bench.cached(), [true, true]);
    assert_eq!(bench.sandbox.runs().len(), 1);
    let options = BuildOptions::named("other:1");
    let error = bench.build_with("FROM scratch\nRUN echo half > half; exit 7\n", &options).await.unwrap_err();
    assert!(error.to_string().contains("line 2: `echo half > half; exit 7` failed with exit code 7"), "{error}");
    assert!(bench.images().get("other:1").is_err());
    let steps = bench.outcomes();
    assert!(!steps.iter().any(|outcome| matches!(outcome, StepOutcome::Layer { .. })));
    assert_eq!(
        fs::read_dir(bench.path("root/cache/build")).unwrap().flatten().filter(|entry| entry.path().is_dir()).count(),
        0
    );
}

#[tokio::test]
async fn images_get_and_lose_names() {
    let bench = Bench::new();
    bench.write("file", "x");
    let built = bench.build("FROM scratch\nCOPY file file\n").await.unwrap();
    let images = bench.images();
    images.tag("shop:1.4", "registry.example.com:5000/team/shop:2").unwrap();
    let names: Vec<String> = images.list().unwrap().into_iter().map(|summary| summary.familiar).collect();
    assert_eq!(names, ["shop:1.4", "registry.example.com:5000/team/shop:2"]);
    let digest = built.digest.to_string();
    assert!(matches!(images.remove(&[&digest], false), Err(Error::InUse { .. })));
    let removed = images.remove(&["shop:1.4"], false).unwrap();
    assert_eq!(
        (removed.names.as_slice(), removed.freed_blobs),
        (&["docker.io/library/shop:1.4".to_owned()][..], Some(0))
    );
    assert!(matches!(images.get("shop:1.4"), Err(Error::UnknownImage { .. })));
    assert_eq!(images.get(&digest[..20]).unwrap().index_digest(), &built.digest, "by a short digest");
    let removed = images.remove(&[&digest], true).unwrap();
    assert!(removed.freed_bytes.unwrap() > 0);
    assert!(images.content().blobs().unwrap().is_empty());
    assert!(images.remove(&["shop:1.4"], true).unwrap().names.is_empty());
    assert!(images.remove(&["shop:1.4"], false).is_err());
}

#[tokio::test]
async fn sources_of_images_keep_the_contract() {
    use cloudimage::source::contract;
    use cloudimage::{Context, FixedList, ImageList, RootfsView, WantedImage};
    let bench = Bench::new();
    bench.write("manifests/imageList", "redis:6.2\n");
    bench.write("more", "\nnginx\n");
    let context = Context::open(&bench.context()).unwrap();
    let image = |name: &str, source: &str| WantedImage::new(name, source);
    let more = bench.context().join("more");
    let expected = [image("nginx", &format!("{}:2", more.display())), image("redis:6.2", "manifests/imageList:1")];
    let rootfs = RootfsView::in_memory([]);
    contract::check(&ImageList::new(&context, Some(&more)), &rootfs, &expected).await;
    contract::check(&ImageList::new(&context, None), &rootfs, &expected[1..]).await;
    contract::check(&FixedList::new(expected.clone()), &rootfs, &expected).await;
    let missing = ImageList::new(&context, Some(Path::new("/nowhere/list")));
    assert!(cloudimage::ImageSource::find(&missing, &rootfs).await.unwrap_err().to_string().contains("/nowhere/list"));
}

#[tokio::test]
async fn the_stand_in_for_run_keeps_the_contract() {
    let directory = tempfile::tempdir().unwrap();
    cloudimage::sandbox::contract::check(&cloudimage::sandbox::contract::scripted(), directory.path()).await;
}

/// Run by the next test in a process of its own, which is then killed.
#[tokio::test]
#[ignore = "never ends: it is the victim of another test"]
async fn a_build_that_waits_to_be_killed() {
    let bench = Bench::new();
    bench.write("file", "x");
    fs::write(bench.path("started"), "").unwrap();
    let note = std::env::temp_dir().join(format!("sealer-victim-{}", std::process::id()));
    fs::write(note, bench.path("").display().to_string()).unwrap();
    let _ = bench.build("FROM scratch\nCOPY file file\nRUN echo started; sleep 600\n").await;
}

#[tokio::test]
async fn a_killed_build_leaves_no_name_and_the_next_one_finishes() {
    let mut victim = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--ignored", "a_build_that_waits_to_be_killed"])
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let note = std::env::temp_dir().join(format!("sealer-victim-{}", victim.id()));
    let work = |root: &Path| {
        fs::read_dir(root.join("cache/build"))
            .into_iter()
            .flatten()
            .flatten()
            .filter(|entry| entry.path().is_dir())
            .count()
    };
    let mut root = std::path::PathBuf::new();
    for _ in 0..600 {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        root = Path::new(&fs::read_to_string(&note).unwrap_or_default()).join("root");
        let is_running = fs::read_dir(root.join("cache/build")).into_iter().flatten().flatten().any(|entry| {
            entry.path().is_dir()
                && fs::read_dir(entry.path())
                    .unwrap()
                    .flatten()
                    .any(|entry| entry.file_name().to_string_lossy().starts_with("run-"))
        });
        if is_running {
            break;
        }
    }
    victim.kill().unwrap();
    victim.wait().unwrap();
    assert_eq!(work(&root), 1, "the build was at work when it was killed");
    let images = cloudimage::Images::open(&root).unwrap();
    assert!(images.list().unwrap().is_empty());
    let bench = Bench::new();
    let kubefile = kubefile::parse("FROM scratch\nCOPY file file\n").unwrap();
    bench.write("file", "x");
    let context = cloudimage::Context::open(&bench.context()).unwrap();
    let backends = cloudimage::Backends::new(&bench.sandbox, &bench.registry, &[]);
    let cached = std::sync::Mutex::new(Vec::new());
    let events = |event| {
        if let cloudimage::BuildEvent::StepDone { outcome: StepOutcome::Layer { cached: was, .. }, .. } = event {
            cached.lock().unwrap().push(was);
        }
    };
    cloudimage::build(&images, &kubefile, &context, &bench.options(), &backends, &events).await.unwrap();
    assert_eq!(cached.into_inner().unwrap(), [true], "what the killed build had finished is used");
    assert_eq!(work(&root), 0, "what it left is removed");
    assert_eq!(images.list().unwrap().len(), 1);
    fs::remove_dir_all(root.parent().unwrap()).unwrap();
    fs::remove_file(note).unwrap();
}

#[tokio::test]
async fn a_cancelled_build_names_nothing_and_the_same_build_reuses_its_layers() {
    let bench = Bench::new();
    bench.write("file", "x");
    let kubefile = "FROM scratch\nCOPY file file\nRUN echo started; sleep 600\n";
    let options = bench.options();
    let cancel = options.cancel.clone();
    let once_it_runs = async {
        while bench.sandbox.runs().is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        cancel.cancel();
    };
    let (built, ()) = futures_util::future::join(bench.build_with(kubefile, &options), once_it_runs).await;
    assert!(matches!(built, Err(Error::Cancelled)), "{built:?}");
    assert!(bench.images().list().unwrap().is_empty());
    let places = fs::read_dir(bench.path("root/cache/build")).unwrap().flatten();
    let left: Vec<_> =
        places.map(|entry| entry.file_name()).filter(|name| name.to_string_lossy().starts_with("at-work")).collect();
    assert!(left.is_empty(), "{left:?}");
    assert!(matches!(bench.build_with(kubefile, &options).await, Err(Error::Cancelled)), "before it begins");
    bench.build("FROM scratch\nCOPY file file\n").await.unwrap();
    assert_eq!(bench.cached(), [true]);
}

#[tokio::test]
async fn a_command_that_an_interrupt_ends_first_counts_as_cancelled() {
    let bench = Bench::new();
    let options = bench.options();
    let cancel = options.cancel.clone();
    let interrupt = async {
        while bench.sandbox.runs().is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        cancel.cancel();
    };
    let built = bench.build_with("FROM scratch\nRUN unknown command\n", &options);
    let (built, ()) = futures_util::future::join(built, interrupt).await;
    assert!(matches!(built, Err(Error::Cancelled)), "{built:?}");
}
