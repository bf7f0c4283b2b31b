//! `sealer lvscare` refuses bad input before it touches the kernel, and its unit matches its options.

use crate::support::Program;

const SERVICE: [&str; 4] = ["--vs", "10.103.97.2:6443", "--rs", "10.0.0.1:6443,10.0.0.2:6443"];

fn lvscare(program: &Program, command: &str, more: &[&str]) -> crate::support::Outcome {
    program.call(&[&["lvscare", command], more].concat())
}

#[test]
fn what_makes_no_sense_is_refused_before_anything_is_done() {
    let program = Program::new();
    let care = |more: &[&str]| lvscare(&program, "care", more);
    let with = |more: &[&str]| care(&[&SERVICE, more].concat());
    care(&[]).fails(2, &["--vs <IP:PORT>"]);
    care(&["--vs", "10.1.1.1"]).fails(2, &["invalid value '10.1.1.1'"]);
    care(&["--vs", "10.1.1.1:1", "--health-schem", "tcp"]).fails(2, &["10.1.1.1:1: it has no servers"]);
    with(&[]).fails(2, &["nothing says which authority", "hint: name its certificate with `--health-ca`"]);
    with(&["--health-schem", "ftp"]).fails(2, &["unknown scheme ftp", "https, http, tcp"]);
    with(&["--scheduler", "best"]).fails(2, &["unknown scheduler best"]);
    with(&["--interval", "soon"]).fails(2, &["`soon` is no span of time"]);
    with(&["--health-schem", "tcp", "--interval", "1ms"]).fails(2, &["the interval of 1ms is not between"]);
    with(&["--health-schem", "tcp", "--health-req-headers", "x"]).fails(2, &["expected NAME=VALUE"]);
    with(&["--config", "x"]).fails(2, &["'--vs <IP:PORT>' cannot be used with '--config <FILE>'"]);
    care(&["--config", "x", "--health-path", "/"]).fails(2, &["cannot be used with"]);
    care(&["--config", "nowhere"]).fails(1, &["cannot read nowhere", "hint: check the path"]);
    let broken = program.write("broken.json", "{\"vs\": 1}");
    care(&["--config", &broken]).fails(2, &["broken.json cannot be used", "line 1 column 8", "hint: "]);
}

#[test]
fn a_unit_says_what_the_options_say() {
    let program = Program::new();
    let options = [
        "--interval=5",
        "--scheduler=wlc",
        "--rise=3",
        "--fall=4",
        "--health-schem=http",
        "--health-path=/live now",
        "--health-status=401",
        "--health-status=403",
        "--health-timeout=1500ms",
        "--health-req-method=POST",
        "--health-req-body=100% $x",
        "--health-req-headers=X=y",
        "--health-insecure-skip-verify",
        "--dataplane=nftables",
        "--ip=10.0.0.9",
        "--metrics-file=/srv/metrics/lvscare.prom",
        "--before=kubelet.service",
    ];
    let outcome = lvscare(&program, "unit", &[&SERVICE, &options[..]].concat());
    let text = &outcome.code(0).stdout;
    let line = text.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
    let (program_path, words) = line.split_once(' ').unwrap();
    assert_eq!(program_path, env!("CARGO_BIN_EXE_sealer"));
    assert_eq!(
        words,
        "lvscare care --vs=10.103.97.2:6443 --rs=10.0.0.1:6443 --rs=10.0.0.2:6443 --scheduler=wlc --interval=5s --rise=3 \
         --fall=4 --health-schem=http \"--health-path=/live now\" --health-status=401 --health-status=403 \
         --health-timeout=1500ms --health-req-method=POST \"--health-req-body=100%% $$x\" --health-req-headers=X=y \
         --health-insecure-skip-verify=true --dataplane=nftables --ip=10.0.0.9 --metrics-file=/srv/metrics/lvscare.prom"
    );
    for wanted in ["Before=kubelet.service\n", "ReadWritePaths=/srv/metrics\n", "Type=notify\n", "10.103.97.2:6443\n"] {
        assert!(text.contains(wanted), "{wanted}: {text}");
    }
    // What is not said is the daemon's own default, and a file says it all.
    let config = r#"{"vs": "[fd00::2]:1", "rs": ["[fd00::3]:1"], "health": {"scheme": "tcp"}}"#;
    let config = program.write("lvscare.json", config);
    let text = lvscare(&program, "unit", &["--config", &config]).code(0).stdout.clone();
    assert!(text.contains("rules for [fd00::2]:1\n"), "{text}");
    assert!(text.contains(&format!(" lvscare care --config={config} --dataplane=auto\n")), "{text}");
}

#[test]
fn old_options_are_taken() {
    let program = Program::new();
    let old = ["--health-schem", "tcp", "--logger", "INFO", "--masqueradebit", "0", "--mode", "link", "-i", "care0"];
    let text = lvscare(&program, "unit", &[&SERVICE, &old[..]].concat()).code(0).stdout.clone();
    assert!(text.contains("--mode=link --iface=care0"), "{text}");
}

#[test]
fn a_unit_works_from_another_directory_and_names_whole_units() {
    let program = Program::new();
    program.write("context/lv.json", r#"{"vs": "127.7.7.7:1", "rs": ["127.0.0.1:2"], "health": {"scheme": "tcp"}}"#);
    let options = ["--config", "lv.json", "--socket", "x/s.sock", "--metrics-file", "m/lv.prom"];
    let more = ["--before", "kubelet", "--before", "a.mount", "--before", "b@1.2"];
    let outcome = lvscare(&program, "unit", &[&options[..], &more].concat());
    let text = &outcome.code(0).stdout;
    for expected in [
        format!("--config={}", program.text("context/lv.json")),
        format!("--socket={}", program.text("context/x/s.sock")),
        format!("--metrics-file={}", program.text("context/m/lv.prom")),
        "Before=kubelet.service\nBefore=a.mount\nBefore=b@1.2.service\n".to_owned(),
    ] {
        assert!(text.contains(&expected), "no {expected} in\n{text}");
    }
    lvscare(&program, "unit", &["--config", "lv.json", "--before", "a\nb"]).fails(2, &["expected the name of a unit"]);
    // Where systemd is installed, it is the judge.
    let file = program.write("lv.service", text);
    let judged = std::process::Command::new("systemd-analyze").args(["verify", "--man=no", &file]).output();
    if let Ok(judged) = judged {
        let said = String::from_utf8_lossy(&judged.stderr);
        let own: Vec<&str> = said.lines().filter(|line| line.contains(&file) || line.contains("lv.service")).collect();
        assert!(own.iter().all(|line| line.contains("not found") || line.contains("not executable")), "{said}");
    }
}

#[test]
fn clean_up_needs_no_directory_of_a_daemon() {
    let program = Program::new();
    let socket = program.text("no/such/directory/x.sock");
    let outcome = lvscare(&program, "clean", &["--vs", "127.7.7.7:7777", "--socket", &socket]);
    // What the kernel lets this user do is another matter.
    assert!(!outcome.stderr.contains("cannot lock"), "{}", outcome.stderr);
    assert!(!program.path("no").exists());
}
