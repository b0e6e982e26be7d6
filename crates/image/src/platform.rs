//! Platforms such as `linux/arm64`: how they are written, and which are one.

/// Whether an image for `platform` is one for `asked`: `linux/arm64/v8` is also for `linux/arm64`, and what names no
/// platform is for any.
pub fn is_for(platform: &str, asked: &str) -> bool {
    let (platform, asked) = (normal(platform), normal(asked));
    platform.is_empty() || platform == asked || platform.strip_prefix(&asked).is_some_and(|rest| rest.starts_with('/'))
}

/// As Go names platforms, without the variant that goes without saying.
pub(super) fn normal(platform: &str) -> String {
    let platform = platform.to_ascii_lowercase();
    let (os, rest) =
        platform.split_once('/').unwrap_or(if platform.is_empty() { ("", "") } else { ("linux", &platform) });
    let (architecture, variant) = rest.split_once('/').unwrap_or((rest, ""));
    let architecture = match architecture {
        "x86_64" | "x86-64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let variant = match (architecture, variant) {
        ("arm64", "v8") | ("amd64", "v1") => "",
        (_, variant) => variant,
    };
    [os, architecture, variant].join("/").trim_end_matches('/').to_owned()
}

#[cfg(test)]
mod tests {
    use super::is_for;

    #[test]
    fn platforms_compare_however_they_are_written() {
        for (platform, asked) in [
            ("linux/amd64", "linux/amd64"),
            ("linux/amd64", "Linux/x86_64"),
            ("linux/amd64", "amd64"),
            ("linux/arm64", "linux/arm64/v8"),
            ("linux/arm64/v8", "linux/aarch64"),
            ("linux/arm/v7", "linux/arm"),
            ("", "linux/arm64"),
        ] {
            assert!(is_for(platform, asked), "{platform} for {asked}");
        }
        for (platform, asked) in [
            ("linux/amd64", "linux/arm64"),
            ("linux/arm64", "linux/arm"),
            ("linux/arm/v6", "linux/arm/v7"),
            ("windows/amd64", "linux/amd64"),
            ("linux/amd64/v3", "linux/amd64/v2"),
        ] {
            assert!(!is_for(platform, asked), "{platform} for {asked}");
        }
    }
}
