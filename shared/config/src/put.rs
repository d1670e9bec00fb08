//! Saves hot configuration for the console. Must never overwrite a change that the person did not see.
use crate::{
    Cause, ConfigError, HotConfig,
    shape::{Part, read_zone, write_caps, write_prices, write_stages},
};
use aws_sdk_ssm::{operation::put_parameter::PutParameterError, types::ParameterType};
use types::{Caps, Prices, Stages};

/// What became of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// Saved as this version.
    Saved(i64),
    /// Nothing was saved: somebody saved another version first.
    ChangedMeanwhile,
    /// Saved as this version, over another one saved within the same few milliseconds, which nobody has read.
    /// SSM cannot compare and set, so between our read and our write this window stays; it is seen by the
    /// version that SSM gives. Show both, as with `ChangedMeanwhile`: the other one is in the parameter's
    /// history.
    SavedOver(i64),
}

impl HotConfig {
    /// Saves the stages if `expected_version` (of the page the person looked at; 0 = never set) is still the
    /// newest.
    ///
    /// # Errors
    /// [`ConfigError::MalformedHot`] when they are out of bounds, [`ConfigError::PutHot`] when it is not
    /// known whether they were saved.
    pub async fn put_stages(&self, stages: &Stages, expected_version: i64) -> Result<Put, ConfigError> {
        self.put(Part::Stages, write_stages(stages)?, expected_version).await
    }

    /// Saves the caps, as [`HotConfig::put_stages`]. The open day learns of it by
    /// `budget::Budget::change_cap`.
    ///
    /// # Errors
    /// As [`HotConfig::put_stages`].
    pub async fn put_caps(&self, caps: &Caps, expected_version: i64) -> Result<Put, ConfigError> {
        self.put(Part::Caps, write_caps(caps)?, expected_version).await
    }

    /// Saves the prices, as [`HotConfig::put_stages`].
    ///
    /// # Errors
    /// As [`HotConfig::put_stages`].
    pub async fn put_prices(&self, prices: &Prices, expected_version: i64) -> Result<Put, ConfigError> {
        self.put(Part::Prices, write_prices(prices)?, expected_version).await
    }

    /// Saves the zone (an IANA name), as [`HotConfig::put_stages`].
    ///
    /// # Errors
    /// As [`HotConfig::put_stages`].
    pub async fn put_zone(&self, zone: &str, expected_version: i64) -> Result<Put, ConfigError> {
        self.put(Part::Zone, read_zone(zone)?, expected_version).await
    }

    async fn put(&self, part: Part, text: String, expected_version: i64) -> Result<Put, ConfigError> {
        let name = format!("{}{}", self.path, part.name());
        let failed = |cause: Cause| ConfigError::PutHot { part: part.name(), cause };
        if self.newest(&name).await.map_err(failed)? != expected_version {
            return Ok(Put::ChangedMeanwhile);
        }
        let request = self.ssm.put_parameter().name(name).value(text).r#type(ParameterType::String);
        // A first version is created, not overwritten: there SSM does compare and set.
        let answer = request.overwrite(expected_version > 0).send().await;
        self.forget().await;
        match answer {
            Ok(saved) if saved.version == expected_version.saturating_add(1) => Ok(Put::Saved(saved.version)),
            Ok(saved) => Ok(Put::SavedOver(saved.version)),
            Err(error) => match error.as_service_error() {
                Some(PutParameterError::ParameterAlreadyExists(_)) => Ok(Put::ChangedMeanwhile),
                Some(_) | None => Err(failed(error.into())),
            },
        }
    }

    /// The newest version of a parameter, 0 when there is none.
    async fn newest(&self, name: &str) -> Result<i64, Cause> {
        match self.ssm.get_parameter().name(name).send().await {
            Ok(found) => Ok(found.parameter.map_or(0, |parameter| parameter.version)),
            Err(error) if error.as_service_error().is_some_and(|e| e.is_parameter_not_found()) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }
}
