//! Which digests mean one image: a runtime lists it by its configuration, its manifest or its index.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::image::same_id;

/// What archives showed, and what a device said of an archive that does not tell. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Identities {
    images: Arc<Mutex<Vec<Vec<String>>>>,
}

impl Identities {
    fn held(&self) -> MutexGuard<'_, Vec<Vec<String>>> {
        self.images.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on these are digests of one image.
    pub fn learn(&self, digests: &[String]) {
        let mut images = self.held();
        let knows = |known: &Vec<String>| digests.first().is_some_and(|first| known.contains(first));
        match images.iter_mut().find(|known| knows(known)) {
            None => images.push(digests.to_vec()),
            Some(known) => {
                let new: Vec<_> = digests.iter().filter(|digest| !known.contains(digest)).cloned().collect();
                known.extend(new);
            }
        }
    }

    /// Further digests of the image that a device lists as `id`. One index may hold several images.
    pub fn others(&self, id: &str) -> Vec<String> {
        let images = self.held();
        let mut others: Vec<_> =
            images.iter().filter(|known| known.iter().any(|it| same_id(it, id))).flatten().collect();
        others.sort_unstable();
        others.dedup();
        others.into_iter().filter(|other| !same_id(other, id)).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_learned_of_an_image_is_known_by_each_of_its_digests() {
        let [configuration, manifest, listed, other] =
            ["a", "b", "c", "d"].map(|digit| format!("sha256:{}", digit.repeat(64)));
        let identities = Identities::default();
        identities.learn(&[configuration.clone(), manifest.clone()]);
        identities.learn(&[configuration.clone(), listed.clone()]);
        assert_eq!(identities.others(&listed), [configuration.clone(), manifest.clone()]);
        assert_eq!(identities.others(&"b".repeat(12)), [configuration, listed]);
        assert!(identities.others(&other).is_empty());
    }
}
