//! Patches: JSON merge patch (RFC 7386), and as much of the strategic merge patch as containers and their variables need.

use serde_json::{Map, Value};

/// A kind of patch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// JSON merge patch: a list replaces the list that is there.
    Json,
    /// Strategic merge patch: lists of containers and of variables are merged by name.
    Strategic,
}

/// The lists that the API merges by name.
const MERGED_BY_NAME: [&str; 3] = ["containers", "initContainers", "env"];

/// Puts a patch into an object. Null takes a key away.
pub fn merge(target: &mut Value, patch: &Value, kind: Kind) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(target) = target else { return };
    for (key, value) in patch {
        match (target.get_mut(key), value) {
            (_, Value::Null) => {
                target.remove(key);
            }
            (Some(Value::Array(there)), Value::Array(items))
                if kind == Kind::Strategic && MERGED_BY_NAME.contains(&key.as_str()) =>
            {
                merge_by_name(there, items);
            }
            _ => merge(target.entry(key).or_insert(Value::Null), value, kind),
        }
    }
}

/// Items of the same name are merged, new ones come last.
fn merge_by_name(there: &mut Vec<Value>, items: &[Value]) {
    for item in items {
        let same = match there.iter().position(|old| old["name"] == item["name"]) {
            Some(same) => same,
            None => {
                there.push(Value::Null);
                there.len() - 1
            }
        };
        merge(&mut there[same], item, Kind::Strategic);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn merged(mut target: Value, patch: Value, kind: Kind) -> Value {
        merge(&mut target, &patch, kind);
        target
    }

    #[test]
    fn a_json_merge_patch_is_that_of_rfc_7386() {
        // From the table of test cases in its appendix A.
        for (target, patch, wanted) in [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
            (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}})),
            (json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]})),
            (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
        ] {
            assert_eq!(merged(target, patch, Kind::Json), wanted);
        }
    }

    #[test]
    fn only_a_strategic_patch_leaves_the_image_and_the_sidecar_alone() {
        let object = json!({"containers": [
            {"name": "controller", "image": "app:1", "env": [{"name": "A", "value": "1"}, {"name": "B", "valueFrom": {}}]},
            {"name": "istio-proxy", "image": "proxy:1"},
        ]});
        let env = json!([{"name": "B", "value": "2", "valueFrom": null}, {"name": "C", "value": "3"}]);
        let patch = json!({"containers": [{"name": "controller", "env": env}]});
        let wanted = json!({"containers": [
            {"name": "controller", "image": "app:1",
             "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}, {"name": "C", "value": "3"}]},
            {"name": "istio-proxy", "image": "proxy:1"},
        ]});
        assert_eq!(merged(object.clone(), patch.clone(), Kind::Strategic), wanted);
        assert_eq!(merged(object, patch.clone(), Kind::Json), patch, "the whole list is replaced");
    }
}
