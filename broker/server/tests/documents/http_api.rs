//! Renders the page of endpoints from the OpenAPI description.

use std::fmt::Write as _;

use serde_json::Value;

pub(crate) fn page() -> String {
    let api: Value = serde_json::from_str(&server::openapi()).unwrap();
    let mut page = format!(
        "# HTTP API\n\n\
         <!-- Generated from the OpenAPI description: change the handlers in broker/server/src/http. -->\n\n\
         The whole description, with every request and answer, is [openapi.json](openapi.json) (OpenAPI 3.1); a broker \
         serves its own at `/openapi.json`. {}\n",
        api["info"]["description"].as_str().unwrap()
    );
    for tag in api["tags"].as_array().unwrap() {
        let tag_name = tag["name"].as_str().unwrap();
        let _ = write!(
            page,
            "\n## {tag_name}\n\n{}.\n\n| request | credential | what it does |\n|---|---|---|\n",
            tag["description"].as_str().unwrap()
        );
        for (path, methods) in api["paths"].as_object().unwrap() {
            for (method, operation) in methods.as_object().unwrap() {
                if operation["tags"][0] == tag_name {
                    let _ = writeln!(
                        page,
                        "| `{} {path}` | {} | {} |",
                        method.to_uppercase(),
                        credentials(operation),
                        operation["summary"].as_str().unwrap()
                    );
                }
            }
        }
    }
    page
}

fn credentials(operation: &Value) -> String {
    let names = operation["security"]
        .as_array()
        .into_iter()
        .flatten()
        .flat_map(|one| one.as_object().unwrap().keys());
    let names: Vec<String> = names.map(|name| name.replace('_', " ")).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", or ") }
}
