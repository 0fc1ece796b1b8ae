//! Kong's declarative files.

use super::{Found, Gateway, PLUGIN, Subject, UpstreamNames};
use crate::source::Node;

/// Finds the plugins and the filters of filter chains, on services, on routes and at the top level.
pub(super) fn find(file: &Node, found: &mut Found<'_>) {
    let names = file.list("upstreams").iter().filter_map(|upstream| upstream.text_of("name"));
    let upstreams = UpstreamNames {
        what: "an upstream of this file",
        names: names.map(str::to_owned).collect(),
    };
    let mut finder = Finder { found, upstreams };
    finder.owner(file, "", false);
    for service in file.list("services") {
        let label = format!("service {}", name_of(service));
        finder.owner(service, &label, true);
        for route in service.list("routes") {
            finder.owner(route, &format!("{label}, route {}", name_of(route)), true);
        }
    }
    for route in file.list("routes") {
        finder.owner(route, &format!("route {}", name_of(route)), true);
    }
    for (list, what) in [("consumers", "consumer"), ("consumer_groups", "consumer group")] {
        for consumer in file.list(list) {
            finder.owner(consumer, what, false);
        }
    }
}

struct Finder<'f, 's> {
    found: &'f mut Found<'s>,
    upstreams: UpstreamNames,
}

impl Finder<'_, '_> {
    /// The plugins and filter chains of a service, a route or the whole file.
    fn owner(&mut self, owner: &Node, label: &str, binds: bool) {
        for plugin in owner.list("plugins").iter().filter(|plugin| is_meant(plugin)) {
            let target = ["service", "route"].into_iter().find_map(|field| {
                let target = plugin.get(field).filter(|target| !target.is_null())?;
                let name =
                    target.text().or_else(|| target.text_of("name").or(target.text_of("id")));
                Some(format!("{field} {}", name.unwrap_or("without a name")))
            });
            if !binds && target.is_none() {
                let message = "a filter cannot be a global plugin; accepted is a plugin of a service or of a route";
                self.found.error(plugin, message);
            }
            let label = target.unwrap_or_else(|| label.to_owned());
            self.config(plugin, &label);
        }
        for chain in owner.list("filter_chains") {
            let target = ["service", "route"].into_iter().find_map(|field| {
                let target = chain.get(field).filter(|target| !target.is_null())?;
                let name =
                    target.text().or_else(|| target.text_of("name").or(target.text_of("id")));
                Some(format!("{field} {}", name.unwrap_or("without a name")))
            });
            let label = target.unwrap_or_else(|| label.to_owned());
            let label = format!("{label}, filter chain {}", name_of(chain));
            for filter in chain.list("filters").iter().filter(|filter| is_meant(filter)) {
                self.config(filter, &label);
            }
        }
    }

    fn config(&mut self, owner: &Node, label: &str) {
        if let Some(name) = owner.get("name") {
            let wrong = name.text().filter(|text| *text != PLUGIN);
            wrong.into_iter().for_each(|text| self.found.misspelt(name, text));
        }
        let misplaced = self.found.misplaced(owner, "config");
        let config = match owner.get("config") {
            Some(config) => self.found.configuration(config),
            None if misplaced => None,
            None => Some(Node::null(super::head(owner))),
        };
        if let Some(config) = config {
            let label = if label.is_empty() { "plugin" } else { label };
            self.found.subjects.push(Subject {
                upstreams: Some(self.upstreams.clone()),
                gateway: Some(Gateway::Kong),
                ..Subject::labelled(label.to_owned(), config)
            });
        }
    }
}

/// Whether a plugin or a filter is this one, if under a name that Kong does not know it by.
fn is_meant(plugin: &Node) -> bool {
    plugin.text_of("name").is_some_and(|name| name == PLUGIN || super::resembles(name))
}

fn name_of(node: &Node) -> &str {
    node.text_of("name").or_else(|| node.text_of("id")).unwrap_or("without a name")
}
