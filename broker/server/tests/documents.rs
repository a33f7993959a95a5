//! Is the committed description of the API the one that the code gives? `CLOUDANIX_WRITE_DOCS=1` writes it.

use std::fs;
use std::path::Path;

#[test]
fn the_description_of_the_api_is_up_to_date() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json");
    let rendered = format!("{}\n", server::openapi());
    if std::env::var_os("CLOUDANIX_WRITE_DOCS").is_some_and(|value| value == "1") {
        fs::write(&file, &rendered).unwrap();
    }
    let committed = fs::read_to_string(&file).unwrap_or_default();
    assert!(committed == rendered, "docs/openapi.json is not what the code says: run `cargo xtask docs`");
}
