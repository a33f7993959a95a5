//! Every input of a release is pinned.

use std::fs;

use system_tests::wrappers::root;

fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

fn is_by_digest(image: &str) -> bool {
    let digest = image.split_once("@sha256:").map_or("", |(_, digest)| digest);
    digest.len() == 64 && digest.chars().all(|c| c.is_ascii_hexdigit())
}

#[test]
fn containers_are_named_by_digest() {
    let cross = text("Cross.toml");
    let images: Vec<&str> = cross.lines().filter_map(|line| line.strip_prefix("image = ")).collect();
    assert_eq!(images.len(), 2);
    let dockerfile = text("examples/kubernetes-broker/Dockerfile");
    let bases = dockerfile.lines().filter_map(|line| line.strip_prefix("FROM "));
    let bases = bases.filter(|base| *base != "scratch").filter_map(|base| base.split(' ').next());
    for image in images.into_iter().map(|image| image.trim_matches('"')).chain(bases) {
        assert!(is_by_digest(image), "{image}: expected `…@sha256:` and 64 digits");
    }
}

#[test]
fn the_toolchain_is_one_number_in_every_job() {
    for workflow in ["ci.yml", "release.yml"] {
        let workflow = text(&format!(".github/workflows/{workflow}"));
        let set = workflow.lines().find_map(|line| line.trim().strip_prefix("RUSTUP_TOOLCHAIN: ")).unwrap();
        assert!(
            set.split('.').count() == 3 && set.split('.').all(|part| part.parse::<u32>().is_ok()),
            "{set}"
        );
        let installed = workflow.split("rustup toolchain install ").skip(1);
        let installed: Vec<&str> = installed.filter_map(|rest| rest.split_whitespace().next()).collect();
        assert!(installed.len() > 2 && installed.iter().all(|toolchain| *toolchain == set), "{installed:?}");
        // A job without this step would use the runner's own toolchain.
        let jobs = workflow.matches("runs-on: ").count();
        let without_rust = workflow.matches("gh release create").count();
        assert_eq!(installed.len(), jobs - without_rust, "one for each job that builds");
    }
}
