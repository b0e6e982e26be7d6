//! What a cluster allows whoever asks.

use std::time::{Duration, Instant};

use k8s_openapi::api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use kube::api::PostParams;

use super::cluster::Cluster;
use holdfast_net::error::Result;

/// For one question to the API.
const QUESTION: Duration = Duration::from_secs(5);

impl Cluster {
    /// Whether the API allows a verb on a resource, such as `pods` or `pods/log`, in any namespace.
    pub fn allows(&self, group: &str, resource: &str, verb: &str, deadline: Instant) -> Result<bool> {
        let (resource, subresource) = resource.split_once('/').map_or((resource, None), |(of, part)| (of, Some(part)));
        let attributes = ResourceAttributes {
            group: Some(group.to_owned()),
            resource: Some(resource.to_owned()),
            subresource: subresource.map(str::to_owned),
            verb: Some(verb.to_owned()),
            ..ResourceAttributes::default()
        };
        let spec = SelfSubjectAccessReviewSpec { resource_attributes: Some(attributes), ..Default::default() };
        let review = SelfSubjectAccessReview { spec, ..SelfSubjectAccessReview::default() };
        let reviews = self.all::<SelfSubjectAccessReview>();
        let params = PostParams::default();
        let answer = self.call("create a SelfSubjectAccessReview", deadline, || reviews.create(&params, &review))?;
        Ok(answer.status.is_some_and(|status| status.allowed))
    }

    /// The first of these that the API does not allow, in words; none where it allows them, or does not tell.
    pub fn forbids(&self, asked: &[(&str, &str, &str)]) -> Option<String> {
        let denied = |(group, resource, verb): &&(&str, &str, &str)| {
            self.allows(group, resource, verb, Instant::now() + QUESTION).is_ok_and(|allowed| !allowed)
        };
        let (_, resource, verb) = asked.iter().find(denied)?;
        Some(format!("the cluster does not allow to {verb} {resource} (holdfast provider manifest)"))
    }
}
