//! Clusterfiles of clusters that exist, with more hosts or fewer, and what comes of an interruption.

use sealer_core::clusterfile::{Clusterfile, Host, ProviderName, Role, Secret};
use sealer_core::{
    Class, Error, Outcome, RunRequest, ScaleRequest, Wanted, scale_down, scale_up, wanted, with_arguments,
};

use crate::lab::{Bench, address, counted, listed, made};

fn nodes(text: &str) -> ScaleRequest {
    ScaleRequest::new(None, Some(text))
}

fn masters(text: &str) -> ScaleRequest {
    ScaleRequest::new(Some(text), None)
}

#[track_caller]
fn refuses(result: Result<Wanted, Error>, text: &str) {
    let error = result.unwrap_err();
    assert_eq!(error.class(), Class::Usage);
    assert!(error.to_string().contains(text), "{error}");
}

#[tokio::test]
async fn hosts_are_added_and_taken_out_by_address() {
    let bench = Bench::new().await;
    bench.apply(&listed()).await.unwrap();
    let mut request = nodes("10.0.0.3-10.0.0.4");
    request.login.password = Some(Secret::from("new".to_owned()));
    let more = scale_up(&bench.file(), &request).unwrap();
    let cluster = &more.clusterfile.cluster;
    let passwords: Vec<bool> = cluster.hosts.iter().map(|host| host.ssh.password.is_some()).collect();
    assert_eq!(passwords, [false, false, true, true], "a login is for those that come");
    assert_eq!(bench.change(more).await.unwrap().done, 6);
    assert_eq!(bench.hosts(), [1, 2, 3, 4].map(address));
    // The same command once more.
    assert_eq!(bench.change(scale_up(&bench.file(), &request).unwrap()).await.unwrap().outcome, Outcome::Unchanged);

    bench.change(scale_down(&bench.file(), &nodes("10.0.0.2,10.0.0.4")).unwrap()).await.unwrap();
    assert_eq!(bench.hosts(), [1, 3].map(address));
    assert!(!bench.is_installed(address(2)) && bench.is_installed(address(3)));
}

#[test]
fn a_file_is_applied_with_what_is_said_beside_it() {
    let mut request = ScaleRequest::new(Some("10.0.0.1,10.0.0.3"), Some("10.0.0.4"));
    request.env = vec!["Stage=test".to_owned()];
    let cluster = with_arguments(&listed(), &request).unwrap().cluster;
    let hosts: Vec<_> = cluster.hosts.iter().map(|host| (host.address, host.is_master())).collect();
    assert_eq!(hosts, [(1, true), (2, false), (3, true), (4, false)].map(|(last, master)| (address(last), master)));
    let staged = |host: &Host| host.env.values("Stage") == ["test"];
    assert!(cluster.hosts.iter().all(staged), "also hosts that the file names");
    let of = |masters, nodes| with_arguments(&counted(2), &ScaleRequest::new(masters, nodes)).map(Wanted::from);
    let more = of(Some("3"), None).unwrap().clusterfile.cluster.machines;
    assert_eq!((more.masters.unwrap().count, more.nodes.unwrap().count), (3, 2), "a count is no addition");
    assert_eq!(with_arguments(&listed(), &ScaleRequest::default()).unwrap(), listed());
    refuses(of(None, Some("10.0.0.3")), "CONTAINER makes its machines itself");
    request.env = vec!["Stage".to_owned()];
    refuses(with_arguments(&listed(), &request).map(Wanted::from), "--env Stage");
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let file = listed();
    refuses(scale_up(&file, &ScaleRequest::default()), "say which masters or nodes");
    refuses(scale_up(&file, &nodes("10.0.0.300")), "--nodes 10.0.0.300: `10.0.0.300` is no IP address");
    refuses(scale_up(&file, &nodes("10.0.0.3,10.0.0.3")), "10.0.0.3 is listed twice");
    refuses(
        scale_up(&file, &ScaleRequest::new(Some("10.0.0.3"), Some("10.0.0.4,10.0.0.3"))),
        "--nodes 10.0.0.4,10.0.0.3: 10.0.0.3 is listed twice",
    );
    refuses(scale_up(&file, &masters("10.0.0.2")), "10.0.0.2 is a node of cluster shop and cannot become a master");
    refuses(scale_up(&file, &nodes("2")), "its hosts are given by address");
    refuses(scale_down(&file, &nodes("1")), "its hosts are given by address");
    refuses(scale_down(&file, &nodes("10.0.0.9")), "cluster shop: 10.0.0.9 is no node of it");
    refuses(scale_down(&file, &nodes("10.0.0.1")), "10.0.0.1 is no node of it; it is a master");
    refuses(scale_down(&file, &masters("10.0.0.1")), "the last master cannot be taken out; `sealer delete -c shop`");
    let file = counted(2);
    refuses(scale_up(&file, &nodes("10.0.0.3")), "CONTAINER makes its machines itself");
    refuses(scale_up(&file, &nodes("0")), "say which masters or nodes");
    refuses(scale_up(&file, &nodes("4999")), "");
    refuses(scale_down(&file, &nodes("3")), "it has 2 of role node: 3 cannot be taken out");
    refuses(scale_down(&file, &masters("1")), "the last master");
}

#[tokio::test]
async fn machines_are_added_and_taken_out_by_count_or_address() {
    let bench = Bench::new().await;
    bench.apply(&counted(1)).await.unwrap();
    bench.change(scale_up(&bench.file(), &ScaleRequest::new(Some("2"), Some("2"))).unwrap()).await.unwrap();
    assert_eq!(bench.hosts(), [1, 3, 4, 2, 5, 6].map(made));
    bench.change(scale_down(&bench.file(), &ScaleRequest::new(Some("2"), Some("1"))).unwrap()).await.unwrap();
    assert_eq!(bench.hosts(), [1, 2, 5].map(made));
    bench.change(scale_down(&bench.file(), &nodes("192.0.2.2")).unwrap()).await.unwrap();
    assert_eq!((bench.hosts(), bench.provider.counts().hosts), (vec![made(1), made(5)], 2));
}

#[tokio::test]
async fn an_interrupted_command_is_not_done_twice() {
    let bench = Bench::new().await;
    bench.apply(&counted(1)).await.unwrap();
    let up = || scale_up(&bench.file(), &nodes("1")).unwrap();
    bench.hosts.fail("true install");
    bench.change(up()).await.unwrap_err();
    bench.change(up()).await.unwrap_err();
    bench.hosts.repair();
    bench.change(up()).await.unwrap();
    assert_eq!((bench.hosts(), bench.provider.counts().hosts), ([1, 2, 3].map(made).to_vec(), 3));

    for request in [nodes("1"), nodes("192.0.2.2")] {
        bench.change(up()).await.unwrap();
        let before = bench.hosts().len();
        let down = || scale_down(&bench.file(), &request).unwrap();
        bench.hosts.fail("true remove");
        bench.change(down()).await.unwrap_err();
        bench.change(down()).await.unwrap_err();
        bench.hosts.repair();
        bench.change(down()).await.unwrap();
        assert_eq!((bench.hosts().len(), bench.provider.counts().hosts), (before - 1, before - 1));
    }

    // Others may come while one still leaves; that it leaves was agreed to before.
    let bench = Bench::new().await;
    bench.apply(&listed()).await.unwrap();
    bench.hosts.fail("true remove");
    bench.change(scale_down(&bench.file(), &nodes("10.0.0.2")).unwrap()).await.unwrap_err();
    bench.hosts.repair();
    bench.change(scale_up(&bench.file(), &nodes("10.0.0.3")).unwrap()).await.unwrap();
    assert_eq!(bench.hosts(), [1, 3].map(address));
}

async fn run(bench: &Bench, masters: &str, nodes: Option<&str>, env: &[&str]) -> Result<Wanted, Error> {
    let mut request = RunRequest::new("lab:1");
    request.cluster_name = Some("shop".to_owned());
    request.masters = Some(masters.to_owned());
    request.nodes = nodes.map(str::to_owned);
    request.env = env.iter().map(|pair| (*pair).to_owned()).collect();
    let counts = masters.parse::<u32>().is_ok();
    request.provider = counts.then(|| "CONTAINER".to_owned());
    wanted(&bench.sealer, request, &|_| ()).await
}

#[tokio::test]
async fn running_it_with_more_hosts_adds_them_and_never_takes_one_out() {
    let bench = Bench::new().await;
    let mut file = listed();
    file.cluster.hosts[1].labels.insert("disk".to_owned(), "fast".to_owned());
    bench.apply(&file).await.unwrap();
    let more = run(&bench, "10.0.0.1", Some("10.0.0.2,10.0.0.3"), &["A=b"]).await.unwrap();
    assert!(more.notes.is_empty(), "{:?}", more.notes);
    bench.apply_by(more, &Default::default()).await.unwrap();
    let known = bench.remembered().unwrap();
    assert_eq!(bench.hosts(), [1, 2, 3].map(address));
    assert_eq!(
        (known.hosts[1].labels["disk"].as_str(), known.env.get("A")),
        ("fast", Some("b")),
        "what was said stays"
    );

    let fewer = run(&bench, "10.0.0.1", None, &[]).await.unwrap();
    assert_eq!(
        fewer.notes[0],
        "10.0.0.2 stays a node of cluster shop: `sealer delete -c shop --nodes 10.0.0.2` takes it out"
    );
    assert_eq!(bench.apply_by(fewer, &Default::default()).await.unwrap().outcome, Outcome::Unchanged);

    let mut request = RunRequest::new("lab:1");
    request.cluster_name = Some("shop".to_owned());
    request.commands = vec!["true".to_owned()];
    let asked = wanted(&bench.sealer, request, &|_| ()).await.unwrap().clusterfile.cluster;
    assert_eq!(asked.commands, ["true"]);

    // Another cluster under a name that is taken.
    let error = run(&bench, "10.0.1.1", None, &[]).await.unwrap_err();
    assert!(matches!(&error, Error::ClusterExists { masters, .. } if *masters == [address(1)]), "{error}");
    assert_eq!(error.class(), Class::Usage);
}

#[tokio::test]
async fn running_it_with_other_counts_only_adds() {
    let bench = Bench::new().await;
    // Two variables of which each alone is wrong.
    run(&bench, "1", None, &["PodCIDR=10.1.0.0/16;fd00:1::/48", "SvcCIDR=10.2.0.0/16;fd00:2::/112"]).await.unwrap();
    bench.change(run(&bench, "1", Some("2"), &[]).await.unwrap()).await.unwrap();
    assert_eq!(bench.remembered().unwrap().provider, ProviderName::CONTAINER);
    let fewer = run(&bench, "3", Some("1"), &[]).await.unwrap();
    assert_eq!(
        fewer.notes,
        ["cluster shop keeps all 2 machines of role node: `sealer delete -c shop --nodes 1` takes some out"]
    );
    bench.apply_by(fewer, &Default::default()).await.unwrap();
    assert_eq!(bench.provider.counts().hosts, 5);
}

#[tokio::test]
async fn a_run_that_was_never_finished_does_not_leave_its_hosts_behind() {
    let bench = Bench::new().await;
    bench.hosts.fail("true install");
    bench.change(run(&bench, "10.0.0.1", Some("10.0.0.2"), &[]).await.unwrap()).await.unwrap_err();
    // The content of the first is there, and its marker.
    let marker = r#"{"cluster": "shop", "role": "node"}"#;
    std::fs::write(bench.hosts.of(address(2)).join("data/shop/host.json"), marker).unwrap();
    bench.hosts.repair();
    let error = bench.change(run(&bench, "10.0.0.1", Some("10.0.0.3"), &[]).await.unwrap()).await.unwrap_err();
    assert!(matches!(&error, Error::HostsNotNamed { hosts, .. } if *hosts == [address(2)]), "{error}");
    assert_eq!(error.class(), Class::Usage);
    // Somebody who says all of it may.
    let mut file: Clusterfile = listed();
    file.cluster.hosts.pop();
    file.cluster.add_hosts(&Role::Node, [address(3)]);
    bench.change(file).await.unwrap();
    assert!(!bench.is_installed(address(2)) && bench.is_installed(address(3)));
}
