//! HubSpot's project files for one install: ours, with that install's address in them. Must never change
//! anything else in them, nor speak to HubSpot.
use crate::Outcome;
use crate::child::{root, target};
use std::fs;
use std::path::Path;

/// The files, and the two marks that stand where an install's own values belong.
const FILES: [&str; 3] =
    ["hsproject.json", "src/app/app-hsmeta.json", "src/app/webhooks/webhooks-hsmeta.json"];
const URL_MARK: &str = "@WEBHOOK_URL@";
const EMAIL_MARK: &str = "@SUPPORT_EMAIL@";

/// Writes the files into `target/hubspot`. Arguments: `--url WEBHOOK_URL --email SUPPORT_EMAIL`.
pub fn hubspot(arguments: &[String]) -> Outcome {
    let (url, email) = match arguments {
        [a, url, b, email] if a == "--url" && b == "--email" => (url, email),
        _ => return Outcome::Failed("hubspot --url WEBHOOK_URL --email SUPPORT_EMAIL".to_owned()),
    };
    let to = target().join("hubspot");
    match write(&root().join("infra/aws/hubspot"), &to, url, email) {
        Ok(()) => {
            println!("{}", to.display());
            Outcome::Done
        }
        Err(why) => Outcome::Failed(why),
    }
}

fn write(from: &Path, to: &Path, url: &str, email: &str) -> Result<(), String> {
    // HubSpot signs the address as registered: one that differs by a slash is refused by us, event by event.
    let bare = url.strip_prefix("https://").and_then(|rest| rest.strip_suffix("/hubspot"));
    if !bare.is_some_and(|host| !host.is_empty() && plain(host, ".-")) {
        return Err(format!("`{url}` is not the stack's output WebhookUrl: https://../hubspot"));
    }
    let is_email = email.split_once('@').is_some_and(|(name, host)| !name.is_empty() && host.contains('.'));
    if !is_email || !plain(email, ".-_+@") {
        return Err(format!("`{email}` is not an e-mail address"));
    }
    for file in FILES {
        let failed = |error: std::io::Error| format!("`{file}`: {error}");
        let text = fs::read_to_string(from.join(file)).map_err(failed)?;
        let path = to.join(file);
        fs::create_dir_all(path.parent().unwrap_or(to)).map_err(failed)?;
        fs::write(path, text.replace(URL_MARK, url).replace(EMAIL_MARK, email)).map_err(failed)?;
    }
    Ok(())
}

/// Letters, digits and these: nothing that could end a JSON string.
fn plain(text: &str, besides: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphanumeric() || besides.contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_carry_the_address_and_nothing_is_left_to_fill_in() {
        let to = std::env::temp_dir().join(format!("xtask-hubspot-{}", std::process::id()));
        let from = root().join("infra/aws/hubspot");
        let url = "https://abc123.lambda-url.eu-west-1.on.aws/hubspot";
        write(&from, &to, url, "ops@example.com").expect("written");
        let all = FILES.map(|file| fs::read_to_string(to.join(file)).expect("a file")).concat();
        assert!(
            all.contains(&format!("\"targetUrl\": \"{url}\"")) && all.contains("ops@example.com"),
            "{all}"
        );
        assert!(!all.contains(URL_MARK) && !all.contains(EMAIL_MARK));
        for (url, email) in [
            ("http://abc/hubspot", "ops@example.com"),
            ("https://abc/", "ops@example.com"),
            ("https:///hubspot", "ops@example.com"),
            ("https://a\"b/hubspot", "ops@example.com"),
            (url, "ops"),
            (url, "ops@example.com\""),
        ] {
            assert!(write(&from, &to, url, email).is_err(), "{url} {email}");
        }
        fs::remove_dir_all(&to).expect("removed");
    }
}
