//! `path_prefix`: a prefix by whole segments, as Gateway API's `PathPrefix`.

/// A prefix of whole path segments; a trailing slash does not count.
#[derive(Clone, Debug)]
pub(crate) struct PathPrefix(Box<[u8]>);

impl PathPrefix {
    pub(crate) fn new(prefix: &[u8]) -> Self {
        Self(prefix.strip_suffix(b"/").unwrap_or(prefix).into())
    }

    /// The bytes that every path under the prefix begins with.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn matches(&self, path: &[u8]) -> bool {
        path.strip_prefix(&*self.0).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_match_whole() {
        let table: &[(&str, &str, bool)] = &[
            ("/v2", "/v2", true),
            ("/v2", "/v2/", true),
            ("/v2", "/v2/x", true),
            ("/v2", "/v2x", false),
            ("/v2", "/v", false),
            ("/v2/", "/v2", true),
            ("/v2/", "/v2/x", true),
            ("/", "/anything", true),
            ("/", "/", true),
            ("/a/b", "/a/bc", false),
            ("/a/b", "/a", false),
        ];
        for (prefix, path, holds) in table {
            let matches = PathPrefix::new(prefix.as_bytes()).matches(path.as_bytes());
            assert_eq!(matches, *holds, "{path} under {prefix}");
        }
    }
}
