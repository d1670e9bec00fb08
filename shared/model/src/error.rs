//! What can go wrong before anything is sent. Must never carry a key or a prompt.

/// A request that cannot be built. Nothing was sent and nothing is billed; trying again changes nothing.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The model has no row in the table of thinking and tool rules.
    #[error("no request rules are known for model `{model}`; use one of `{known}`")]
    ModelUnknown {
        /// The model asked for, cleaned and cut.
        model: String,
        /// The models with a row.
        known: String,
    },
    /// A tool that strict decoding would refuse.
    #[error("tool `{tool}` does not fit strict decoding: {why}")]
    Tool {
        /// The tool's name, cleaned and cut.
        tool: String,
        /// Which rule it breaks.
        why: String,
    },
    /// No tools, too many, or too many optional or union-typed parameters together.
    #[error("the set of tools does not fit one request: {why}")]
    Tools {
        /// Which rule it breaks.
        why: String,
    },
    /// Stored bytes that are not the frozen part of a request to that model.
    #[error("stored bytes are not the frozen part of a request to `{model}`: {why}")]
    Frozen {
        /// The model the run was started with.
        model: String,
        /// Which check failed.
        why: &'static str,
    },
    /// Turning a value into JSON.
    #[error("cannot write request json")]
    Json(#[source] serde_json::Error),
    /// The base URL is not https (http only on loopback), or not a URL.
    #[error("the model's base url must be https, or http on loopback")]
    BaseUrl,
    /// The key or the version has a character that no header can carry. The text is not repeated.
    #[error("the model's {header} is no header value")]
    Header {
        /// Which header.
        header: &'static str,
    },
    /// Building the HTTP client.
    #[error("cannot build the http client of the model")]
    Client(#[source] reqwest::Error),
}
