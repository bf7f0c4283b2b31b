//! The type of passwords and passphrases. Debug output of a Clusterfile never shows one.

pub use ::secret::Secret;

#[cfg(test)]
mod tests {
    #[test]
    fn debug_output_hides_the_text() {
        let ssh = crate::Ssh { password: Some("hunter2".into()), ..crate::Ssh::default() };
        let env: crate::Env = [("KEY".to_owned(), "hunter2".to_owned())].into_iter().collect();
        let config = crate::Config { data: "hunter2".to_owned(), ..crate::Config::default() };
        let kubeadm = crate::KubeadmDocument { kind: crate::KubeadmKind::InitConfiguration, value: "hunter2".into() };
        let shown = format!("{ssh:?} {ssh:#?} {env:?} {config:?} {kubeadm:?}");
        assert!(shown.contains("***") && shown.contains("KEY") && !shown.contains("hunter2"), "{shown}");
    }
}
