//! Expectations: wait until something is true, then keep watching for a while.

use std::time::Duration;

use tokio::time::Instant;
use tonic::Code;

use super::evidence::REGISTERED;
use super::{Deadlines, Device};
use crate::dial::{Call, EventKind};
use crate::error::{Error, Kind, Result};
use crate::gnoi::containerz::{Container, ContainerStatus, ListedImage, Volume};
use crate::image::Written;
use crate::waiting::{next_look, try_until};

/// From one look to the next.
const LOOK: Duration = Duration::from_millis(50);
/// How long one look may find only silence.
const ATTEMPT: Duration = Duration::from_millis(1500);

/// What one look found; what it found instead, in words.
type Seen<T> = std::result::Result<T, String>;

/// How long to wait and to watch; None for the device's own.
#[derive(Debug, Clone, Copy, Default)]
pub struct Patience {
    /// Until it must hold.
    pub within: Option<Duration>,
    /// How long it must go on.
    pub watch: Option<Duration>,
}

impl Device {
    /// The image is listed by its id (where given) and not missing by its name, and stays so.
    pub async fn expect_image(
        &self,
        name: &str,
        tag: &str,
        id: Option<&str>,
        patience: Patience,
    ) -> Result<ListedImage> {
        let what = format!("image {name}:{tag}");
        self.expect(
            &what,
            patience,
            |limits| limits.watch,
            |call| async move {
                let images = self.containerz.images_by(call).await?;
                Ok(find_image(&images, name, tag, id))
            },
        )
        .await
    }

    /// The image is listed neither by its id nor by its name, and stays away.
    pub async fn expect_no_image(&self, name: &str, tag: &str, id: Option<&str>, patience: Patience) -> Result<()> {
        let what = format!("no image {name}:{tag}");
        self.expect(
            &what,
            patience,
            |limits| limits.absence,
            |call| async move {
                let images = self.containerz.images_by(call).await?;
                let there =
                    images.iter().find(|image| id.is_some_and(|id| image.has_id(id)) || image.is_named(name, tag));
                Ok(match there {
                    None => Ok(()),
                    Some(image) => {
                        Err(format!("image {}:{} is listed ({})", image.name, image.tags.join(","), image.id))
                    }
                })
            },
        )
        .await
    }

    /// The container is listed as running, is what it was (`like`), and stays so.
    pub async fn expect_container(
        &self,
        name: &str,
        like: Option<&Container>,
        patience: Patience,
    ) -> Result<Container> {
        let what = format!("container {name} running");
        self.expect(
            &what,
            patience,
            |limits| limits.watch,
            |call| async move {
                let containers = self.containerz.containers_by(true, call).await?;
                Ok(find_container(&containers, name, like))
            },
        )
        .await
    }

    /// The container is not listed, running or not, and stays away.
    pub async fn expect_no_container(&self, name: &str, patience: Patience) -> Result<()> {
        let what = format!("no container {name}");
        self.expect(
            &what,
            patience,
            |limits| limits.absence,
            |call| async move {
                let containers = self.containerz.containers_by(true, call).await?;
                Ok(match containers.iter().find(|container| container.is_named(name)) {
                    None => Ok(()),
                    Some(container) => Err(format!("container {name} is listed as {}", container.status.name())),
                })
            },
        )
        .await
    }

    /// The volume is listed, is what it was (`like`), and stays so.
    pub async fn expect_volume(&self, name: &str, like: Option<&Volume>, patience: Patience) -> Result<Volume> {
        let what = format!("volume {name}");
        self.expect(
            &what,
            patience,
            |limits| limits.watch,
            |call| async move {
                let volumes = self.containerz.volumes_by(call).await?;
                Ok(find_volume(&volumes, name, like))
            },
        )
        .await
    }

    /// The volume is not listed, and stays away.
    pub async fn expect_no_volume(&self, name: &str, patience: Patience) -> Result<()> {
        let what = format!("no volume {name}");
        self.expect(
            &what,
            patience,
            |limits| limits.absence,
            |call| async move {
                let volumes = self.containerz.volumes_by(call).await?;
                Ok(if volumes.iter().any(|volume| volume.name == name) {
                    Err(format!("volume {name} is listed"))
                } else {
                    Ok(())
                })
            },
        )
        .await
    }

    /// The container on `port` answers Ping, and goes on answering.
    pub async fn expect_answer(&self, host: Option<&str>, port: u16, patience: Patience) -> Result<()> {
        let what = format!("an answer on port {port}");
        self.expect(
            &what,
            patience,
            |limits| limits.watch,
            |call| async move {
                let limit = Self::soon(call.deadline, ATTEMPT);
                Ok(match self.ping_container(host, port, limit).await {
                    Ok(_) => Ok(()),
                    Err(error) => Err(error.message),
                })
            },
        )
        .await
    }

    async fn expect<T, Look>(
        &self,
        what: &str,
        patience: Patience,
        watch: impl FnOnce(&Deadlines) -> Duration,
        look: impl Fn(Call) -> Look,
    ) -> Result<T>
    where
        Look: Future<Output = Result<Seen<T>>>,
    {
        let began = Instant::now();
        let said_all = patience.within.is_some() && patience.watch.is_some();
        let limits = if said_all { self.deadlines() } else { self.known_deadlines().await };
        let deadline = began + patience.within.unwrap_or(limits.verification);
        let watch = patience.watch.unwrap_or_else(|| watch(limits));
        let failed = |message: String| {
            self.note(EventKind::Expectation, format!("failed: {message}"));
            Error::new(Kind::Expectation, message).during(self.name(), &format!("expect {what}"), began.elapsed())
        };
        let look = || async {
            let limit = Instant::now().max(deadline) + ATTEMPT;
            let call = Call::read("Containerz.List", limit).probing(ATTEMPT);
            match look(call).await {
                Ok(seen) => Ok(seen.map_err(Absent::Seen)),
                // A device on its way up may answer anything.
                Err(error) if is_firm(&error) && Instant::now() > began + REGISTERED.min(limits.start) => {
                    Err(error.during(self.name(), what, began.elapsed()))
                }
                Err(error) if error.code().is_some() => Ok(Err(Absent::Unseen(error.to_string()))),
                Err(error) => Err(error.during(self.name(), what, began.elapsed())),
            }
        };
        let mut found = try_until(deadline, LOOK, look).await?.map_err(|absent| failed(absent.words()))?;
        let since = Instant::now();
        let mut unseen = false;
        while next_look(since + watch, LOOK).await {
            match look().await? {
                Ok(seen) => (found, unseen) = (seen, false),
                Err(Absent::Unseen(_)) => unseen = true,
                Err(Absent::Seen(why)) => {
                    let after = since.elapsed().as_secs_f64();
                    return Err(failed(format!("it held, and {after:.1} s later it did not: {why}")));
                }
            }
        }
        if unseen {
            let by = deadline.max(Instant::now() + limits.watch);
            found = try_until(by, LOOK, look).await?.map_err(|absent| failed(absent.words()))?;
        }
        self.note(EventKind::Expectation, format!("{what}: holds, watched for {:.1} s", watch.as_secs_f64()));
        Ok(found)
    }
}

/// Whether a refusal will not change by itself, once a device is up.
fn is_firm(error: &Error) -> bool {
    matches!(error.code(), Some(Code::Unauthenticated | Code::PermissionDenied | Code::Unimplemented))
}

/// Why a look did not find what is expected.
enum Absent {
    /// The device listed something else.
    Seen(String),
    /// The device refused the look.
    Unseen(String),
}

impl Absent {
    fn words(self) -> String {
        match self {
            Self::Seen(words) => words,
            Self::Unseen(words) => format!("it could not be seen: {words}"),
        }
    }
}

fn find_image(images: &[ListedImage], name: &str, tag: &str, id: Option<&str>) -> Seen<ListedImage> {
    let Some(id) = id else {
        let named = images.iter().find(|image| image.is_named(name, tag));
        return match named.or_else(|| images.iter().find(|image| image.may_be(name, tag))) {
            Some(image) => Ok(image.clone()),
            None => Err(format!("no image {name}:{tag} is listed")),
        };
    };
    if let Some(other) = images.iter().find(|image| image.is_named(name, tag) && !image.has_id(id)) {
        return Err(format!("{name}:{tag} is another image: {} instead of {id}", other.id));
    }
    let with_id: Vec<_> = images.iter().filter(|image| image.has_id(id)).collect();
    match with_id.as_slice() {
        [] => Err(format!("no image {id} is listed")),
        rows => {
            if let Some(image) = rows.iter().find(|image| image.is_named(name, tag) || image.may_be(name, tag)) {
                return Ok((*image).clone());
            }
            let now: Vec<_> = rows.iter().map(|row| format!("{}:{}", row.name, row.tags.join(","))).collect();
            Err(format!("image {id} has lost its name {name}:{tag}: it is {}", now.join(" and ")))
        }
    }
}

fn find_container(containers: &[Container], name: &str, like: Option<&Container>) -> Seen<Container> {
    let found: Vec<_> = containers.iter().filter(|container| container.is_named(name)).collect();
    let container = match found.as_slice() {
        [] => return Err(format!("no container {name} is listed")),
        [only] => *only,
        several => return Err(format!("container {name} is listed {} times", several.len())),
    };
    if container.status != ContainerStatus::Running {
        return Err(format!("container {name} is {}", container.status.name()));
    }
    if let Some(before) = like {
        if !same_image(&before.image, &container.image) {
            return Err(format!("container {name} was of {} and is of {}", before.image, container.image));
        }
        if before.labels != container.labels {
            return Err(format!("container {name} had labels {:?} and has {:?}", before.labels, container.labels));
        }
    }
    Ok(container.clone())
}

/// Whether a container's image is the same, however the device writes it.
fn same_image(one: &str, other: &str) -> bool {
    one == other || Written::read(one).is_same(&Written::read(other))
}

fn find_volume(volumes: &[Volume], name: &str, like: Option<&Volume>) -> Seen<Volume> {
    let found: Vec<_> = volumes.iter().filter(|volume| volume.name == name).collect();
    let volume = match found.as_slice() {
        [] => return Err(format!("no volume {name} is listed")),
        [only] => *only,
        several => return Err(format!("volume {name} is listed {} times", several.len())),
    };
    let Some(before) = like else { return Ok(volume.clone()) };
    if before.driver != volume.driver {
        return Err(format!("volume {name} had driver {} and has {}", before.driver, volume.driver));
    }
    for (what, was, is) in [("options", &before.options, &volume.options), ("labels", &before.labels, &volume.labels)] {
        if was != is {
            return Err(format!("volume {name} had {what} {was:?} and has {is:?}"));
        }
    }
    Ok(volume.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, tags: &[&str]) -> ListedImage {
        let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
        ListedImage { id: "sha256:aaaaaaaaaaaaaaaa".to_owned(), name: name.to_owned(), tags, digests: Vec::new() }
    }

    #[test]
    fn an_image_without_its_name_is_not_there() {
        let look = |row: ListedImage| match find_image(&[row], "app", "v1", Some("sha256:aaaaaaaaaaaaaaaa")) {
            Ok(_) => String::new(),
            Err(why) => why,
        };
        assert_eq!(look(row("app", &["v1"])), "");
        assert_eq!(look(row("other", &["v0", "v1"])), "", "rows that join repositories may hold it");
        for lost in [row("", &[""]), row("", &[]), row("app", &["v2"]), row("other", &["v1"]), row("x", &["v2", "v3"])]
        {
            assert!(look(lost).contains("has lost its name app:v1"));
        }
    }

    #[test]
    fn a_name_that_leads_to_another_image_is_no_such_image() {
        let other = ListedImage { id: "sha256:bbbbbbbbbbbbbbbb".to_owned(), ..row("app", &["v1"]) };
        let why = find_image(&[row("old", &["v1"]), other], "app", "v1", Some("sha256:aaaaaaaaaaaaaaaa"));
        assert!(why.is_err_and(|why| why.contains("app:v1 is another image")));
    }

    #[test]
    fn a_container_is_there_once_running_and_what_it_was() {
        let labels = |value: &str| [("a".to_owned(), value.to_owned())].into();
        let was = Container {
            id: "1".to_owned(),
            name: "web".to_owned(),
            aliases: Vec::new(),
            image: "app:v1".to_owned(),
            status: ContainerStatus::Running,
            labels: labels("b"),
        };
        let look = |all: &[Container]| find_container(all, "web", Some(&was)).err().unwrap_or_default();
        let is = |changed: Container| look(&[changed]);
        assert_eq!(is(was.clone()), "");
        assert_eq!(
            is(Container { id: "2".to_owned(), image: "docker.io/library/app:v1".to_owned(), ..was.clone() }),
            ""
        );
        assert_eq!(look(&[]), "no container web is listed");
        assert_eq!(look(&[was.clone(), was.clone()]), "container web is listed 2 times");
        assert!(is(Container { status: ContainerStatus::Stopped, ..was.clone() }).starts_with("container web is "));
        assert!(is(Container { image: "app:v2".to_owned(), ..was.clone() }).contains("was of app:v1 and is of app:v2"));
        assert!(is(Container { labels: labels("c"), ..was.clone() }).contains("had labels"));
    }

    #[test]
    fn a_volume_is_there_once_and_what_it_was() {
        let pairs = |value: &str| [("a".to_owned(), value.to_owned())].into();
        let was = Volume {
            name: "data".to_owned(),
            created: None,
            driver: "local".to_owned(),
            options: pairs("b"),
            labels: pairs("b"),
        };
        let look = |all: &[Volume]| find_volume(all, "data", Some(&was)).err().unwrap_or_default();
        assert_eq!(look(std::slice::from_ref(&was)), "");
        assert_eq!(look(&[]), "no volume data is listed");
        assert_eq!(look(&[was.clone(), was.clone()]), "volume data is listed 2 times");
        for (changed, what) in [
            (Volume { driver: "nfs".to_owned(), ..was.clone() }, "driver"),
            (Volume { options: pairs("c"), ..was.clone() }, "options"),
            (Volume { labels: pairs("c"), ..was.clone() }, "labels"),
        ] {
            assert!(look(&[changed]).contains(&format!("had {what}")), "{what}");
        }
    }
}
