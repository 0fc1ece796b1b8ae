//! Changing weights in a text: nothing else of it moves, no comment is lost.

use super::rule::{Found, Wanted, Weights};
use crate::files::File;
use crate::source::{Kind, Node, Source, Span, json};
use serde_json::Value;
use tse_route::config::{Share, quote};

/// One replacement in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Edit {
    span: Span,
    text: String,
}

/// The text with other weights in one rule, and the weights that it has then.
///
/// # Errors
/// Whatever [`Found::find`] refuses, weights that the rule cannot have, and places that stand for
/// more than one rule.
pub(crate) fn edit(
    source: &Source,
    wanted: Wanted<'_>,
    changes: &[(String, Share)],
) -> Result<(String, Weights), String> {
    let file = File::of(source.clone());
    let found = Found::find(&file, wanted)?;
    let about = |message: String| format!("{}: {}: {message}", source.name, quote(wanted.rule));
    let weights = found.weights.with(changes).map_err(about)?;
    let (documents, _) = source.documents();
    let text = match edits(&found, &found.subject.node, &source.text, &weights) {
        Ok(edits) => {
            refuse_aliases(&documents, &edits).map_err(about)?;
            applied(&source.text, edits)
        }
        // The configuration is JSON in a string that is escaped or folded: the places are those of the string.
        Err(_) => {
            let string = string_of(&documents, &found.subject.node)
                .ok_or_else(|| about("its weights cannot be found in the text".to_owned()))?;
            let inner = string.text().unwrap_or_default();
            let (node, _) = json::parse(inner).map_err(|fault| about(fault.message))?;
            let inner_edits = edits(&found, &node, inner, &weights).map_err(about)?;
            let quoted = Value::from(applied(inner, inner_edits)).to_string();
            let edit = Edit { span: string.span.clone(), text: quoted };
            refuse_aliases(&documents, std::slice::from_ref(&edit)).map_err(about)?;
            applied(&source.text, vec![unfolded(edit, &source.text)])
        }
    };
    prove(&file, &text, &found, wanted, &weights).map_err(about)?;
    Ok((text, weights))
}

/// What has to change for the rule to have these weights.
fn edits(
    found: &Found<'_>,
    config: &Node,
    text: &str,
    weights: &Weights,
) -> Result<Vec<Edit>, String> {
    let mut edits = Vec::new();
    for (name, weight) in &weights.upstreams {
        if found.weights.get(name) == Some(*weight) {
            continue;
        }
        let upstream =
            found.upstream(config, name).ok_or_else(|| format!("{name} is not there"))?;
        edits.push(match upstream.get("weight") {
            Some(written) if is_as_written(written, text) => {
                Edit { span: written.span.clone(), text: weight.to_string() }
            }
            Some(_) => return Err("the weight is not written out".to_owned()),
            None => insertion(upstream, text, weight)?,
        });
    }
    Ok(edits)
}

/// A weight in front of the first field of an upstream that has none.
fn insertion(upstream: &Node, text: &str, weight: &Share) -> Result<Edit, String> {
    let first = upstream.entries().first().ok_or("found an upstream without any field")?;
    let at = first.key_span.start;
    let key = text.get(first.key_span.clone()).unwrap_or_default();
    if !key.contains(first.key.as_str()) || key.len() > first.key.len() + 2 {
        return Err("the upstream is not written out".to_owned());
    }
    let quote = if key.starts_with('"') { "\"" } else { "" };
    let in_braces = text.get(upstream.span.start..).is_some_and(|rest| rest.starts_with('{'));
    let behind = if in_braces {
        ", ".to_owned()
    } else {
        let line = text.get(..at).and_then(|before| before.rfind('\n')).map_or(0, |end| end + 1);
        let column = text.get(line..at).unwrap_or_default().chars().count();
        format!("\n{}", " ".repeat(column))
    };
    Ok(Edit { span: at..at, text: format!("{quote}weight{quote}: {weight}{behind}") })
}

/// Whether a number's place is exact.
fn is_as_written(node: &Node, text: &str) -> bool {
    let written = text.get(node.span.clone()).unwrap_or_default();
    let number = written.parse::<f64>().ok();
    number.is_some() && node.scalar().and_then(Value::as_f64) == number
}

/// The string that a configuration stands in.
fn string_of<'n>(documents: &'n [Node], config: &Node) -> Option<&'n Node> {
    let mut found = None;
    for document in documents {
        document.walk(&mut |node| {
            if node.span == config.span && node.text().is_some() {
                found = Some(node);
            }
        });
    }
    found
}

/// The place of a string with what announces it: that of a folded block is its content's.
fn unfolded(edit: Edit, text: &str) -> Edit {
    let before = text.get(..edit.span.start).unwrap_or_default();
    let is_quoted = text.get(edit.span.start..).is_some_and(|rest| rest.starts_with(['"', '\'']));
    match before.rfind('>').filter(|_| !is_quoted) {
        Some(start) => {
            let content = text.get(edit.span.clone()).unwrap_or_default();
            let behind = content.get(content.trim_end().len()..).unwrap_or_default();
            Edit { span: start..edit.span.end, text: edit.text + behind }
        }
        None => edit,
    }
}

/// What an alias repeats cannot be changed in one place only.
fn refuse_aliases(documents: &[Node], edits: &[Edit]) -> Result<(), String> {
    for edit in edits {
        let mut count = 0;
        for document in documents {
            document.walk(&mut |node| {
                let first_key = node.entries().first().map(|entry| entry.key_span.start);
                let here = match node.kind {
                    Kind::Scalar(..) => node.span == edit.span,
                    _ => edit.span.is_empty() && first_key == Some(edit.span.start),
                };
                count += usize::from(here);
            });
        }
        if count > 1 {
            return Err("its weights stand behind an alias that is used more than once; \
                        accepted are weights that are written out in the rule"
                .to_owned());
        }
    }
    Ok(())
}

fn applied(text: &str, mut edits: Vec<Edit>) -> String {
    edits.sort_by_key(|edit| edit.span.start);
    let mut changed = String::with_capacity(text.len() + 16);
    let mut at = 0;
    for edit in edits {
        changed.push_str(text.get(at..edit.span.start).unwrap_or_default());
        changed.push_str(&edit.text);
        at = edit.span.end;
    }
    changed.push_str(text.get(at..).unwrap_or_default());
    changed
}

/// Reads the new text, and refuses it if anything but the weights is different.
fn prove(
    before: &File,
    text: &str,
    found: &Found<'_>,
    wanted: Wanted<'_>,
    weights: &Weights,
) -> Result<(), String> {
    let after = File::of(Source::new(&before.source.name, text.to_owned()));
    let now = Found::find(&after, wanted)?;
    let same_places =
        (now.subject_index, now.rule_index) == (found.subject_index, found.rule_index);
    let mut same =
        same_places && now.weights == *weights && before.subjects.len() == after.subjects.len();
    for (index, (old, new)) in before.subjects.iter().zip(&after.subjects).enumerate() {
        let (mut old, mut new) = (old.node.value(), new.node.value());
        if index == found.subject_index {
            forget_weights(&mut old, found.rule_index);
            forget_weights(&mut new, found.rule_index);
        }
        same &= old == new;
    }
    if same { Ok(()) } else { Err("the file cannot be changed without changing more".to_owned()) }
}

fn forget_weights(config: &mut Value, rule: usize) {
    let upstreams = config
        .get_mut("rules")
        .and_then(|rules| rules.get_mut(rule))
        .and_then(|rule| rule.get_mut("upstream"))
        .and_then(Value::as_array_mut);
    for upstream in upstreams.into_iter().flatten() {
        if let Some(upstream) = upstream.as_object_mut() {
            upstream.remove("weight");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn change(name: &str, text: &str, changes: &[(&str, u64)]) -> Result<String, String> {
        let source = Source::new(name, text.to_owned());
        let wanted = Wanted { rule: "r", plugin: None };
        let changes: Vec<(String, Share)> = changes
            .iter()
            .map(|(name, hundredths)| ((*name).to_owned(), Share::hundredths(*hundredths)))
            .collect();
        edit(&source, wanted, &changes).map(|(text, _)| text)
    }

    #[test]
    fn only_the_numbers_change() {
        let table = [
            (
                "a.yaml",
                "rules: # all\n- name: r\n  upstream:\n  - {weight: 100, name: a} # old\n  - name: b\n    weight: 0   # new\n",
                "rules: # all\n- name: r\n  upstream:\n  - {weight: 95, name: a} # old\n  - name: b\n    weight: 5   # new\n",
            ),
            (
                "a.json",
                r#"{"rules": [{"name": "r", "upstream": [{"name": "a", "weight": 100}, {"weight": 0.0, "name": "b"}]}]}"#,
                r#"{"rules": [{"name": "r", "upstream": [{"name": "a", "weight": 95}, {"weight": 5, "name": "b"}]}]}"#,
            ),
            (
                // A weight that is not there is 100.
                "a.yaml",
                "rules:\n- name: r\n  upstream:\n  - name: a # blue\n  - {name: b, weight: 0}\n",
                "rules:\n- name: r\n  upstream:\n  - weight: 95\n    name: a # blue\n  - {name: b, weight: 5}\n",
            ),
            (
                "a.yaml",
                "rules:\n- {name: r, upstream: [{\"name\": a}, {name: b, weight: 0}]}\n",
                "rules:\n- {name: r, upstream: [{\"weight\": 95, \"name\": a}, {name: b, weight: 5}]}\n",
            ),
        ];
        for (name, before, after) in table {
            assert_eq!(change(name, before, &[("a", 9_500), ("b", 500)]).as_deref(), Ok(after));
        }
    }

    const WASM: &str = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm";
    const STRING: &str = "type.googleapis.com/google.protobuf.StringValue";
    const RULES: &str = r#"{"rules": [{"name": "r", "upstream": [{"name": "a", "weight": 100}, {"name": "b", "weight": 0}]}]}"#;

    #[test]
    fn json_in_strings_is_changed_in_its_string() {
        let filter = serde_json::json!({"resources": [{
            "name": "tse-route",
            "typed_config": {"@type": WASM, "config": {
                "name": "tse-route", "configuration": {"@type": STRING, "value": RULES}}},
        }]});
        let changed = RULES.replace("100", "95").replace(": 0}", ": 5}");
        let escaped = filter.to_string();
        let result = change("lds.json", &escaped, &[("a", 9_500), ("b", 500)]).expect("changed");
        let expected = escaped
            .replace(&Value::from(RULES).to_string(), &Value::from(changed.as_str()).to_string());
        assert_eq!(result, expected);

        for block in ["|", ">", "|-"] {
            let text = format!(
                "# envoy\nresources:\n- name: tse-route\n  typed_config:\n    '@type': {WASM}\n    config:\n      name: tse-route\n      configuration:\n        '@type': {STRING}\n        value: {block}\n          {RULES}\n# end\n"
            );
            let result = change("lds.yaml", &text, &[("a", 9_500), ("b", 500)]).expect(block);
            if block.starts_with('|') {
                assert_eq!(result, text.replace(RULES, &changed));
            }
            assert!(result.starts_with("# envoy\n") && result.contains("\n# end\n"), "{result}");
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let two = "rules:\n- {name: r, upstream: [{name: a, weight: 100}, {name: b, weight: 0}]}\n";
        let refused = |text: &str, changes: &[(&str, u64)]| {
            change("a.yaml", text, changes).expect_err("refused")
        };
        assert!(refused(two, &[("b", 100)]).contains("add up to 101"));
        assert!(refused(two, &[("c", 0)]).contains("did you mean"));
        assert!(refused(two, &[("(own)", 500)]).contains("leave 0"));
        assert!(refused("rules: []\n", &[("b", 1)]).contains("no rule"));
        let twice = "rules:\n- {name: r, upstream: [{name: a}]}\n- {name: r, condition: {path: /}, upstream: [{name: b}]}\n";
        assert!(refused(twice, &[("a", 1)]).contains("2 rules"));
        let alias = "rules:\n- {name: r, upstream: &u [{name: a, weight: 100}]}\n- {name: s, condition: {path: /}, upstream: *u}\n";
        assert!(refused(alias, &[("a", 1)]).contains("alias"), "{}", refused(alias, &[("a", 1)]));
        let rollout = "rules:\n- {name: r, upstream: [{name: a, weight: 100}, {name: b, weight: 0}], rollout: {start: 0, duration: 1h, to: {b: 100}}}\n";
        assert!(refused(rollout, &[("a", 1)]).contains("rollout"));
        assert!(refused("rules: [", &[("a", 1)]).contains("not YAML"));
        let source = Source::of("a.yaml", [two.as_bytes(), b"# \xff\n"].concat());
        let lossy = edit(&source, Wanted { rule: "r", plugin: None }, &[]);
        assert!(lossy.is_err_and(|error| error.contains("not UTF-8")));
    }

    #[test]
    fn what_a_rule_leaves_over_is_the_services_own() {
        let text = "rules:\n- {name: r, upstream: [{name: b, weight: 0}]}\n";
        let after = text.replace("weight: 0", "weight: 7.5");
        assert_eq!(change("a.yaml", text, &[("b", 750), ("(own)", 9_250)]), Ok(after));
    }

    proptest! {
        /// Whatever the layout, the text reads as before with other weights, and going back gives
        /// the text that was.
        #[test]
        fn every_change_can_be_taken_back(
            indent in 0_usize..4,
            comment in "[ -~]{0,12}",
            flow: bool,
            json: bool,
            shares in prop::collection::vec(0_u64..=10_000, 2),
        ) {
            let pad = " ".repeat(indent);
            let text = if json {
                format!("{pad}{{\"description\": {}, \"rules\": [{pad}{{\"name\": \"r\", \"upstream\": [{{\"name\": \"a\", \"weight\": 1}},{pad} {{\"weight\": 2, \"name\": \"b\"}}]}}]}}", Value::from(comment))
            } else if flow {
                format!("rules: # {comment}\n{pad}- name: r\n{pad}  upstream: [{{name: a, weight: 1}},{pad}{{weight:   2, name: b}}] # {comment}\n")
            } else {
                format!("# {comment}\nrules:\n{pad}- upstream:\n{pad}  - name: a # {comment}\n{pad}    weight: 1\n{pad}  -   weight: 2 # {comment}\n{pad}      name: b\n{pad}  name: r\n")
            };
            let name = if json { "a.json" } else { "a.yaml" };
            let (a, b) = (shares[0] / 2, shares[1] / 2);
            let there = change(name, &text, &[("a", a), ("b", b)]).expect("changed");
            let back = change(name, &there, &[("a", 100), ("b", 200)]).expect("changed back");
            prop_assert_eq!(back, text);
        }
    }
}
