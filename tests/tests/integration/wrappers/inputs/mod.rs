//! Every wrapper has the inputs of the table `wrappers/inputs.toml`, with its names and defaults.

mod page;
mod table;
mod wrappers;

use std::collections::BTreeSet;

use table::{Platform, inputs};

#[test]
fn each_wrapper_takes_what_the_table_says_and_nothing_else() {
    let table = inputs();
    for platform in Platform::ALL {
        for taken in wrappers::taken(platform) {
            let wanted: Vec<_> = table.iter().filter_map(|input| input.on(platform)).collect();
            let wanted: Vec<_> = wanted.iter().filter(|wanted| taken.is_about(&wanted.name)).collect();
            let names: BTreeSet<&str> = wanted.iter().map(|wanted| wanted.name.as_str()).collect();
            let found: BTreeSet<&str> = taken.inputs.keys().map(String::as_str).collect();
            assert_eq!(found, names, "{}", taken.file);
            for wanted in wanted {
                let found = &taken.inputs[&wanted.name];
                let place = format!("`{}` in {}", wanted.name, taken.file);
                assert_eq!(found.required, wanted.required, "{place}");
                // A variable of the project may be the default of an unset input.
                if !found.default.starts_with('$') {
                    assert_eq!(found.default, wanted.default, "{place}");
                }
                if let (Some(help), Some(description)) = (&wanted.help, &found.description) {
                    assert!(description.starts_with(help.as_str()), "{place}: {description}");
                }
            }
        }
    }
}

#[test]
fn the_page_is_what_the_table_says() {
    page::check();
}

#[test]
fn every_input_is_something_of_the_clients_or_of_one_platforms() {
    for input in inputs() {
        let ours = usize::from(input.flag.is_some()) + usize::from(input.variable.is_some());
        assert_eq!(ours, usize::from(input.only.is_none()), "{}", input.name);
    }
}
