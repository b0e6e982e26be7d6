//! Defects: what an emulated device or storage provider does wrong while its failpoint shows.

use super::Registry;

/// A defect, and the sites at which it does something; `At` is a site with what is done there.
#[derive(Debug)]
pub struct Defect<At: 'static> {
    /// Of its failpoint.
    pub name: &'static str,
    /// What it shows.
    pub help: &'static str,
    /// At least one site.
    pub at: &'static [At],
}

/// All of a kind, by topic.
pub type Groups<At> = &'static [&'static [Defect<At>]];

impl Registry {
    /// What `pick` finds of each defect, by its name; nothing where no failpoint is armed.
    pub fn planted<At: Copy, T>(
        &self,
        groups: Groups<At>,
        pick: impl Fn(At) -> Option<T>,
    ) -> impl Iterator<Item = (&'static str, T)> {
        let groups: Groups<At> = if self.is_idle() { &[] } else { groups };
        let all = groups.iter().flat_map(|group| group.iter());
        all.filter_map(move |defect| Some((defect.name, defect.at.iter().copied().find_map(&pick)?)))
    }

    /// The same of those alone that show now.
    pub fn showing<At: Copy, T>(&self, groups: Groups<At>, pick: impl Fn(At) -> Option<T>) -> impl Iterator<Item = T> {
        self.planted(groups, pick).filter(|(name, _)| self.fires(name)).map(|(_, found)| found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Name;

    const NAMES: &[Name] = &[Name { name: "lost", help: "" }, Name { name: "late", help: "" }];
    const ALL: Groups<u8> =
        &[&[Defect { name: "lost", help: "", at: &[1, 2] }], &[Defect { name: "late", help: "", at: &[3] }]];

    #[test]
    fn a_defect_is_planted_where_it_has_a_site_and_shows_while_its_failpoint_fires() {
        let registry = Registry::new(NAMES, 0);
        let small = |site: u8| (site < 3).then_some(site);
        assert_eq!(registry.planted(ALL, small).count(), 0, "nothing is armed");
        registry.arm("late", "1*off->1*error(x)".parse().expect("terms")).expect("known");
        assert_eq!(registry.planted(ALL, small).collect::<Vec<_>>(), [("lost", 1)]);
        for showing in [&[][..], &[3], &[]] {
            assert_eq!(registry.showing(ALL, Some).collect::<Vec<_>>(), showing);
        }
    }
}
