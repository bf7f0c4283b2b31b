//! The published schema is the one that the code describes. `UPDATE=1` rewrites it.

use std::fs;
use std::path::Path;

#[test]
fn the_published_schema_is_fresh() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/clusterfile.schema.json");
    let generated = format!("{:#}\n", clusterfile::schema());
    #[expect(clippy::disallowed_methods, reason = "a test may be told to rewrite what it compares with")]
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, &generated).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == generated,
        "{} is stale: UPDATE=1 cargo test -p clusterfile --test published_schema",
        path.display()
    );
}
