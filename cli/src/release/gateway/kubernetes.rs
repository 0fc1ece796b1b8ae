//! A rule in an object of the Kubernetes API. An object that was changed meanwhile is not
//! overwritten: the API server compares its `resourceVersion`.

use super::Trouble;
use crate::source::Source;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, PostParams};
use kube::config::{Config, KubeConfigOptions};
use kube::{Client, Error};

/// An object, by its name.
pub(super) struct Object {
    pub kind: String,
    pub namespace: Option<String>,
    pub name: String,
    pub context: Option<String>,
}

impl Object {
    pub(super) async fn fetch(&self) -> Result<Source, Trouble> {
        let object = self.api().await?.get(&self.name).await.map_err(|error| told(&error))?;
        let text = serde_json::to_string(&object)
            .map_err(|error| Trouble::Wrong(format!("{}: {error}", self.name)))?;
        Ok(Source::new(&format!("{} {}.json", self.kind, self.name), text))
    }

    pub(super) async fn store(&self, text: &str) -> Result<(), Trouble> {
        let object: DynamicObject = serde_json::from_str(text)
            .map_err(|error| Trouble::Wrong(format!("{}: {error}", self.name)))?;
        let parameters =
            PostParams { field_manager: Some("tse-route".to_owned()), ..PostParams::default() };
        let stored = self.api().await?.replace(&self.name, &parameters, &object).await;
        stored.map(drop).map_err(|error| told(&error))
    }

    async fn api(&self) -> Result<Api<DynamicObject>, Trouble> {
        let away = |error: String| Trouble::Away(format!("Kubernetes: {error}"));
        let config = match &self.context {
            Some(context) => {
                let options =
                    KubeConfigOptions { context: Some(context.clone()), ..Default::default() };
                Config::from_kubeconfig(&options).await.map_err(|error| away(error.to_string()))?
            }
            None => Config::infer().await.map_err(|error| away(error.to_string()))?,
        };
        let namespace = self.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        let client = Client::try_from(config).map_err(|error| away(error.to_string()))?;
        let (group, version) = match self.kind.as_str() {
            "EnvoyExtensionPolicy" => ("gateway.envoyproxy.io", "v1alpha1"),
            "WasmPlugin" => ("extensions.istio.io", "v1alpha1"),
            _ => ("configuration.konghq.com", "v1"),
        };
        let kind = GroupVersionKind::gvk(group, version, &self.kind);
        let plural = match self.kind.as_str() {
            "EnvoyExtensionPolicy" => "envoyextensionpolicies".to_owned(),
            kind => format!("{}s", kind.to_ascii_lowercase()),
        };
        let resource = ApiResource::from_gvk_with_plural(&kind, &plural);
        // The only kind without a namespace.
        Ok(if self.kind == "KongClusterPlugin" {
            Api::all_with(client, &resource)
        } else {
            Api::namespaced_with(client, &namespace, &resource)
        })
    }
}

fn told(error: &Error) -> Trouble {
    match error {
        Error::Api(status) if status.code == 409 => {
            Trouble::Away("the object was changed meanwhile; it is read again".to_owned())
        }
        Error::Api(status) if (400..500).contains(&status.code) && status.code != 429 => {
            Trouble::Wrong(format!("Kubernetes: {}", status.message))
        }
        error => Trouble::Away(format!("Kubernetes: {error}")),
    }
}
