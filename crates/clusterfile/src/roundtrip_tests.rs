//! Whatever is written reads back the same, and nothing that is read causes a panic.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use crate::{
    Application, ApplicationConfig, ApplicationFile, Cluster, Clusterfile, Config, Disk, Env, ExternalRegistry, Host,
    HostAlias, Jump, KubeadmDocument, KubeadmKind, MachineSpec, Plugin, ProviderName, RegistrySettings, Role, Secret,
    Ssh, SshHost, Strategy as OnConflict, parse, parse_default, redacted,
};
use proptest::{collection, option, prelude::*};
use serde_json::{Value, json};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn what_is_written_reads_back_the_same(file in clusterfile()) {
        let yaml = file.to_yaml();
        let read = parse(&yaml).map_err(|errors| TestCaseError::fail(format!("{errors}\n{yaml}")))?;
        prop_assert_eq!(&read, &file, "{}", yaml);
        prop_assert_eq!(read.to_yaml(), yaml);
    }

    #[test]
    fn no_text_causes_a_panic(text in any_text()) {
        let _ = parse(&text);
        let _ = parse_default(&text);
        prop_assert_eq!(redacted(&text).len(), text.len());
    }

    #[test]
    fn no_corrupt_file_causes_a_panic_and_places_are_in_the_text(
        file in clusterfile(),
        cuts in collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), damage()), 1..6),
    ) {
        let mut text = file.to_yaml();
        for (at, length, with) in cuts {
            let start = floor(&text, at.index(text.len() + 1));
            let end = floor(&text, (start + length.index(12)).min(text.len())).max(start);
            text.replace_range(start..end, &with);
        }
        if let Err(errors) = parse(&text) {
            for error in &errors {
                prop_assert!(error.span.start <= error.span.end && error.span.end <= text.len(), "{:?} in {}", error, text);
                prop_assert!(error.span.line >= 1 && error.span.line <= text.lines().count() + 1, "{:?} in {}", error, text);
                prop_assert!(text.is_char_boundary(error.span.start) && text.is_char_boundary(error.span.end), "{:?} in {}", error, text);
            }
        }
    }

    #[test]
    fn no_message_shows_a_password(place in 0..4_usize, broken in prop_oneof![Just("[SECRET]"), Just("{SECRET: SECRET}"), Just("SECRET"), Just("\"SECRET\n\n---\nx: *SECRET")]) {
        let name = ["passwd", "pkPasswd", "pk", "port"][place];
        let text = format!("apiVersion: sealer.io/v2\nkind: Cluster\nmetadata: {{name: c}}\nspec:\n  image: a\n  nodez: 1\n  ssh:\n    {name}: {broken}\n");
        let errors = parse(&text).unwrap_err();
        let shown = errors.to_string();
        prop_assert!(name == "port" || !shown.contains("SECRET"), "{}", shown);
        let read = format!("{:?}", parse_default(&text.replace("  nodez: 1\n", "")));
        prop_assert!(name == "pk" || name == "port" || !read.contains("SECRET"), "{}", read);
    }
}

fn floor(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![any::<String>(), collection::vec(damage(), 0..40).prop_map(|parts| parts.concat())]
}

fn damage() -> impl Strategy<Value = String> {
    let pieces = [
        "apiVersion: sealer.io/v2\n",
        "kind: Cluster\n",
        "metadata: ",
        "{name: c}",
        "spec:\n",
        "  ",
        "- ",
        ": ",
        "\n",
        "[",
        "]",
        "{",
        "}",
        "&a ",
        "*a",
        "<<: ",
        "!!str ",
        "!x ",
        "|\n",
        ">-\n",
        "\"",
        "'",
        "#",
        "---\n",
        "...\n",
        "%YAML 1.2\n",
        "\t",
        "? ",
        "~",
        "\u{feff}",
        "\r\n",
        "é",
        "\u{2028}",
        "\0",
        "hosts:\n",
        "ips: [10.0.0.1-10.0.0.9]",
        "roles: [master]",
        ",",
        "passwd: ",
    ];
    prop_oneof![3 => proptest::sample::select(pieces.to_vec()).prop_map(str::to_owned), 1 => "\\PC{0,6}"]
}

/// Texts that YAML finds hard, beside arbitrary ones.
fn text() -> impl Strategy<Value = String> {
    let hard = [
        "yes",
        "NO",
        "on",
        "~",
        "null",
        "1_000",
        "0644",
        "0x1F",
        "1e3",
        "1.",
        ".5",
        "-",
        "--- x",
        "...",
        "2020-01-01",
        "1:30",
        "a: b",
        "a #b",
        "#",
        "key:",
        "",
        " ",
        " lead",
        "tail ",
        "\n",
        "\n\n",
        "a\n",
        "\na",
        "a\n\n",
        "  a\nb",
        "a\n  b\n",
        "a\n \nb",
        "a\r\nb",
        "\ta",
        "a\tb\n\tc",
        "x\u{85}y",
        "x\u{2028}y",
        "\u{feff}a",
        "\0",
        "\u{1b}[0m",
        "<<",
        "=",
        "%a",
        "@a",
        "`a",
        "*a",
        "&a",
        "!a",
        "[",
        "{a",
        "a,b",
        "? a",
        "- a",
        "'",
        "\"",
        "\\",
        "| a",
        "> a",
        "é☃𝄞",
        ".inf",
        "NaN",
    ];
    prop_oneof![2 => proptest::sample::select(hard.to_vec()).prop_map(str::to_owned), 1 => any::<String>(), 1 => "([ -~]{0,30}\n){1,4}", 1 => "[a-z ]{80,200}"]
}

fn some_text() -> impl Strategy<Value = String> {
    text().prop_filter("empty means absent", |text| !text.is_empty())
}

fn secret() -> impl Strategy<Value = Option<Secret>> {
    option::of(some_text().prop_map(Secret::from))
}

fn word() -> impl Strategy<Value = String> {
    prop_oneof![3 => "[a-z0-9][a-z0-9]{0,8}", 1 => proptest::sample::select(vec!["yes".to_owned(), "1".to_owned(), "0x1".to_owned(), "null".to_owned(), "1e3".to_owned()])]
}

fn address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<[u8; 2]>().prop_map(|[c, d]| IpAddr::V4(Ipv4Addr::new(192, 168, c, d))),
        any::<u16>().prop_map(|low| IpAddr::V6(Ipv6Addr::new(0xfd12, 0, 0, 0, 0, 0, 1, low))),
    ]
}

fn ssh() -> impl Strategy<Value = Ssh> {
    (word(), secret(), key_path(), secret(), 1..=u16::MAX, collection::vec(jump(), 0..3)).prop_map(
        |(user, password, private_key, private_key_password, port, jump)| Ssh {
            user,
            password,
            private_key,
            private_key_password,
            port,
            jump,
        },
    )
}

fn jump() -> impl Strategy<Value = Jump> {
    let host = prop_oneof![
        address().prop_map(SshHost::Address),
        "[a-z]{1,8}(-[a-z0-9]{1,3})?(\\.[a-z]{2,5})?".prop_map(SshHost::Name)
    ];
    let port = prop_oneof![Just(22), 1..=u16::MAX];
    let user = option::of("[a-z@.]{1,8}");
    let own = option::of((secret(), key_path(), secret()));
    (host, port, user, own).prop_map(|(host, port, user, own)| {
        let (password, private_key, private_key_password) = own.unwrap_or_default();
        Jump { host, port, user, password, private_key, private_key_password }
    })
}

fn key_path() -> impl Strategy<Value = Option<String>> {
    option::of("[ -~]{1,20}")
        .prop_filter("a path, not a key", |path| !path.as_ref().is_some_and(|path| path.starts_with("-----")))
}

fn env() -> impl Strategy<Value = Env> {
    collection::vec(("[A-Za-z_][A-Za-z0-9_.-]{0,3}", text()), 0..5).prop_map(|pairs| pairs.into_iter().collect())
}

/// Of a host: address, roles, its own login if it has one, its own variables, labels, taints.
type HostParts = (IpAddr, Vec<Role>, Option<Ssh>, Env, BTreeMap<String, String>, Vec<String>);

fn host() -> impl Strategy<Value = HostParts> {
    let role = prop_oneof![
        Just(vec![Role::Master]),
        Just(vec![Role::Node]),
        Just(vec![Role::Node, Role::Other("gpu".to_owned())])
    ];
    let taint = proptest::sample::select(vec!["a=b:NoSchedule".to_owned(), "a:NoExecute-".to_owned(), "1-".to_owned()]);
    (
        address(),
        role,
        option::of(ssh()),
        env(),
        collection::btree_map(word(), word(), 0..3),
        collection::vec(taint, 0..3),
    )
}

fn machines() -> impl Strategy<Value = MachineSpec> {
    let disk = || (1..65536_u32, option::of(word())).prop_map(|(size_gib, category)| Disk { size_gib, category });
    (1..5000_u32, option::of(1..512_u32), option::of(1..512_u32), option::of(disk()), collection::vec(disk(), 0..3))
        .prop_map(|(count, cpu, memory_gib, system_disk, data_disks)| MachineSpec {
            count,
            cpu,
            memory_gib,
            system_disk,
            data_disks,
        })
}

fn registry() -> impl Strategy<Value = RegistrySettings> {
    let login = || {
        let both = (word(), secret()).prop_map(|(username, password)| password.map(|password| (username, password)));
        option::of(both).prop_map(|login| login.flatten().unzip())
    };
    let ca = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n".to_owned();
    let external = (word(), option::of(1..=u16::MAX), login(), any::<bool>(), option::of(Just(ca))).prop_map(
        |(domain, port, (username, password), insecure, ca)| ExternalRegistry {
            domain,
            port,
            username,
            password,
            insecure,
            ca,
        },
    );
    (
        word(),
        1..=u16::MAX,
        login(),
        any::<[bool; 2]>(),
        collection::vec(word(), 0..2),
        collection::vec(address(), 0..2),
        option::of(external),
    )
        .prop_map(
            |(
                domain,
                port,
                (username, password),
                [high_availability, insecure],
                certificate_names,
                certificate_addresses,
                external,
            )| RegistrySettings {
                domain,
                port,
                username,
                password,
                high_availability,
                insecure,
                certificate_names,
                certificate_addresses,
                external,
            },
        )
}

fn hosts(cluster: &Cluster, parts: Vec<HostParts>) -> Vec<Host> {
    let mut hosts: Vec<Host> = Vec::new();
    for (index, (address, roles, ssh, env, labels, taints)) in parts.into_iter().enumerate() {
        if hosts.iter().all(|host| host.address != address) {
            let roles = if index == 0 { vec![Role::Master] } else { roles };
            hosts.push(Host {
                address,
                roles,
                ssh: ssh.unwrap_or_else(|| cluster.ssh.clone()),
                env: cluster.env.overlaid(&env),
                labels,
                taints,
            });
        }
    }
    hosts
}

fn cluster() -> impl Strategy<Value = Cluster> {
    let texts = (
        collection::btree_map(some_text(), text(), 0..3),
        env(),
        collection::vec(text(), 0..4),
        collection::btree_map("[A-Z]{1,4}", text(), 0..3),
    );
    let machines = (option::of((machines(), option::of(machines()), any::<bool>())), collection::vec(host(), 1..6));
    let words = (
        word(),
        word(),
        collection::vec(word(), 0..3),
        collection::vec(word(), 0..3),
        option::of(word()),
        option::of(word()),
        any::<bool>(),
    );
    let aliases = collection::vec((address(), collection::vec(word(), 1..3)), 0..3);
    (
        texts,
        machines,
        words,
        ssh(),
        registry(),
        aliases,
        option::of("/[a-z0-9]{1,9}"),
        option::of(Just("containerd".to_owned())),
    )
        .prop_map(
            |(
                (annotations, env, commands, command_args),
                (machines, parts),
                words,
                ssh,
                registry,
                aliases,
                data_root,
                container_runtime,
            )| {
                let mut cluster = Cluster::new(words.0, words.1);
                cluster.cert_sans = words.2;
                cluster.app_names = words.3;
                cluster.network.interface = words.4;
                cluster.network.cni_name = words.5;
                cluster.network.without_cni = words.6;
                if words.6 {
                    cluster.network.pod_cidr = "10.244.0.0/16,fd00:10::/56".parse().unwrap();
                }
                if let Some((masters, nodes, cloud)) = machines {
                    cluster.provider = if cloud { ProviderName::ALI_CLOUD } else { ProviderName::CONTAINER };
                    cluster.machines.masters = Some(masters);
                    // A count for one role only makes no sense beside addresses for both.
                    cluster.machines.nodes = Some(nodes.unwrap_or_else(|| MachineSpec::of(1)));
                }
                let host_aliases =
                    aliases.into_iter().map(|(address, hostnames)| HostAlias { address, hostnames }).collect();
                let cluster = Cluster {
                    annotations,
                    env,
                    commands,
                    command_args,
                    ssh,
                    registry,
                    host_aliases,
                    data_root,
                    container_runtime,
                    ..cluster
                };
                Cluster { hosts: hosts(&cluster, parts), ..cluster }
            },
        )
}

fn clusterfile() -> impl Strategy<Value = Clusterfile> {
    let conflict = || prop_oneof![Just(OnConflict::Overwrite), Just(OnConflict::Merge)];
    let process = proptest::sample::select(vec!["value", "value|toJson|toBase64|toSecret"]);
    let process = option::of(process.prop_map(str::to_owned));
    let config = (word(), word(), text(), conflict(), process, option::of(word())).prop_map(
        |(name, path, data, strategy, process, app_name)| Config { name, path, data, strategy, process, app_name },
    );
    let plugin = (
        word(),
        text(),
        proptest::sample::select(vec!["PreInit|PostJoin", "upgrade"]),
        option::of(some_text()),
        option::of(some_text()),
    )
        .prop_map(|(name, data, action, on, scope)| Plugin {
            name,
            plugin_type: "SHELL".to_owned(),
            data,
            action: action.to_owned(),
            on,
            scope,
        });
    let file = (word(), conflict(), text()).prop_map(|(path, strategy, data)| ApplicationFile { path, strategy, data });
    let app_config = (word(), env(), collection::vec(file, 0..3), collection::vec(text(), 0..3))
        .prop_map(|(name, env, files, launch_commands)| ApplicationConfig { name, env, files, launch_commands });
    let application =
        (word(), collection::vec(text(), 0..3), collection::vec(word(), 0..3), collection::vec(app_config, 0..3))
            .prop_map(|(name, commands, launch_apps, configs)| Application { name, commands, launch_apps, configs });
    let kubeadm = collection::btree_map(proptest::sample::select(KubeadmKind::ALL.to_vec()), json_object(), 0..3);
    (
        cluster(),
        collection::vec(config, 0..3),
        collection::vec(plugin, 0..3),
        collection::vec(application, 0..2),
        kubeadm,
    )
        .prop_map(|(cluster, mut configs, mut plugins, mut applications, kubeadm)| {
            // Names that differ only by case, and a file that is written twice, are refused.
            for (index, config) in configs.iter_mut().enumerate() {
                (config.name, config.path) = (format!("c{index}"), format!("{}/{index}", config.path));
            }
            plugins.iter_mut().enumerate().for_each(|(index, plugin)| plugin.name = format!("p{index}"));
            applications.iter_mut().enumerate().for_each(|(index, application)| application.name = format!("a{index}"));
            let kubeadm = kubeadm
                .into_iter()
                .map(|(kind, value)| KubeadmDocument { kind, value: with_version(kind, value) })
                .collect();
            Clusterfile { cluster, configs, plugins, applications, kubeadm }
        })
}

fn with_version(kind: KubeadmKind, mut value: Value) -> Value {
    let version = match kind {
        KubeadmKind::KubeProxyConfiguration => "v1alpha1",
        KubeadmKind::KubeletConfiguration => "v1beta1",
        _ => "v1beta3",
    };
    value["apiVersion"] = json!(format!("{}/{version}", kind.group()));
    value["kind"] = json!(kind.as_str());
    value
}

fn json_object() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_filter("JSON has no other", |number| number.is_finite()).prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    let any_value = leaf.prop_recursive(4, 24, 4, |inner| {
        let map = collection::btree_map(some_text(), inner.clone(), 0..4)
            .prop_map(|map| map.into_iter().collect::<serde_json::Map<_, _>>().into());
        prop_oneof![collection::vec(inner, 0..4).prop_map(Value::Array), map]
    });
    collection::btree_map(some_text(), any_value, 0..4).prop_map(|map| Value::Object(map.into_iter().collect()))
}
