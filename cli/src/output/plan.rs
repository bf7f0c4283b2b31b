//! What a dry run tells besides the plan itself: amounts, and with `-v` every step with its files.

use std::net::IpAddr;

use sealer_core::Planned;
use sealer_core::runtime::{Action, Plan, Step};
use serde_json::{Value, json};

use super::units;

/// The plan for programs: as it is, with the size of every file.
pub(super) fn with_sizes(planned: &Planned) -> Value {
    let mut value = serde_json::to_value(planned).unwrap_or_default();
    for (index, step) in planned.plan.steps.iter().enumerate() {
        let Action::Write { files } = &step.action else { continue };
        for (number, file) in files.iter().enumerate() {
            if let Some(Value::Object(known)) = value.pointer_mut(&format!("/plan/steps/{index}/action/files/{number}"))
            {
                known.insert("size".to_owned(), json!(file.content.len()));
            }
        }
    }
    value
}

/// How much is sent and written, which machines are given back, and who is left out; a line each.
pub(super) fn amounts(planned: &Planned) -> String {
    let (mut sent, mut files, mut written) = (0, 0, 0);
    for step in &planned.plan.steps {
        let hosts = step.hosts.len() as u64;
        match &step.action {
            // Other hosts send the rest.
            Action::Content(content) if content.sources.is_empty() => sent += content.bytes * hosts,
            Action::Write { files: list } => {
                files += list.len() * step.hosts.len();
                written += hosts * list.iter().map(|file| file.content.len() as u64).sum::<u64>();
            }
            _ => {}
        }
    }
    let mut text = String::new();
    if sent > 0 || files > 0 {
        let (sent, written) = (units::bytes(sent), units::bytes(written));
        text.push_str(&format!("{sent} to send from here, {} ({written}) to write\n", units::count(files, "file")));
    }
    if !planned.given_back.is_empty() {
        let machines = units::count(planned.given_back.len(), "machine");
        text.push_str(&format!("given back to the provider in the end: {machines}, {}\n", list(&planned.given_back)));
    }
    for (host, reason) in &planned.unreachable {
        text.push_str(&format!("{host} is left out: {reason}\n"));
    }
    text
}

/// Every step of every host in order, with what is sent and written.
pub(super) fn steps(plan: &Plan) -> String {
    let mut text = String::new();
    let mut hosts: Vec<IpAddr> = Vec::new();
    for host in plan.steps.iter().flat_map(|step| &step.hosts) {
        if !hosts.contains(host) {
            hosts.push(*host);
        }
    }
    for host in hosts {
        text.push_str(&format!("{host}\n"));
        for (index, step) in plan.steps.iter().filter(|step| step.hosts.contains(&host)).enumerate() {
            text.push_str(&format!("  {:>3}  {}{}\n", index + 1, step.title, remark(step)));
            if let Action::Write { files } = &step.action {
                for file in files {
                    let size = units::bytes(file.content.len() as u64);
                    text.push_str(&format!("         {}  {size}\n", file.path));
                }
            }
        }
    }
    text
}

fn remark(step: &Step) -> String {
    match &step.action {
        Action::Content(content) if content.sources.is_empty() => {
            format!("  {} from here", units::bytes(content.bytes))
        }
        Action::Content(content) => {
            let sources: Vec<IpAddr> = content.sources.iter().map(std::net::SocketAddr::ip).collect();
            format!("  {} from {}", units::bytes(content.bytes), list(&sources))
        }
        _ => String::new(),
    }
}

fn list(hosts: &[IpAddr]) -> String {
    hosts.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use sealer_core::runtime::{Content, File};

    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    fn plan() -> Plan {
        let files = vec![File::public("/etc/a", "12345"), File::secret("/etc/b", "secret text")];
        let content = || Content::new("sha256:1", "/rootfs", 2_000_000);
        Plan::new("shop").with_steps([
            Step::content("content@1", [address(1)], content()).titled("content 2 MB"),
            Step::content("content@2", [address(2)], content().from_sources(["10.0.0.1:5000".parse().unwrap()]))
                .titled("content 2 MB"),
            Step::write("files", [address(1), address(2)], files),
        ])
    }

    #[test]
    fn steps_are_listed_with_what_they_send_and_write() {
        assert_eq!(
            steps(&plan()),
            "10.0.0.1\n    1  content 2 MB  2.0 MB from here\n    2  files\n         /etc/a  5 B\n         /etc/b  11 B\n\
             10.0.0.2\n    1  content 2 MB  2.0 MB from 10.0.0.1\n    2  files\n         /etc/a  5 B\n         /etc/b  11 B\n"
        );
    }
}
