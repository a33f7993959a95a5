//! Are the committed documents those that the code renders? `CLOUDANIX_WRITE_DOCS=1` writes them.

use std::fs;
use std::path::Path;

#[test]
fn the_generated_documents_are_up_to_date() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    let write = std::env::var_os("CLOUDANIX_WRITE_DOCS").is_some_and(|value| value == "1");
    for (name, rendered) in
        [("exit-codes.md", cli::documents::exit_codes()), ("environment.md", cli::documents::environment())]
    {
        let file = docs.join(name);
        if write {
            fs::write(&file, &rendered).unwrap();
        }
        let committed = fs::read_to_string(&file).unwrap_or_default();
        assert!(
            committed == rendered,
            "docs/{name} is not what the code says: write it with `CLOUDANIX_WRITE_DOCS=1 cargo test -p \
             cloudanix-jit --test documents`"
        );
    }
}
