//! What counts as flat, judged by the base points: the moments between rounds when
//! everybody but the steady listeners is gone and every room sleeps.
//!
//! Sockets and tasks are exactly what they were at the first base point. Memory may
//! rise a little, by what an allocator scatters: see [`Bounds`].

use super::sample::Sample;

/// How much may change from base point to base point.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Base points at the start that are not judged by their memory: caches fill.
    pub warm_up: f64,
    /// The slope of memory (Theil–Sen) over the others, for each act that was
    /// acknowledged, in bytes.
    pub bytes_per_act_max: f64,
    /// The same for each hour, in KiB.
    pub kib_per_hour_max: f64,
    /// How far the median of the last quarter may lie above that of the second.
    pub rise_max: f64,
    /// Files of the store that may be open at once: its table of descriptors has 900
    /// places (fjall 3.1), here it holds a few.
    pub files_max: usize,
    /// Threads beyond the fewest seen: one hashes passwords, and waits ten seconds for
    /// the next before it ends (tokio).
    pub threads_spread_max: u64,
}

impl Bounds {
    /// Coarse: half of a leak of 10 KiB for each message.
    pub const SHORT: Self = Self {
        warm_up: 0.25,
        bytes_per_act_max: 5120.0,
        kib_per_hour_max: f64::INFINITY,
        rise_max: 0.25,
        files_max: 200,
        threads_spread_max: 2,
    };
    /// A few MiB in an hour.
    pub const LONG: Self = Self {
        warm_up: 0.25,
        bytes_per_act_max: 256.0,
        kib_per_hour_max: 4096.0,
        rise_max: 0.05,
        files_max: 200,
        threads_spread_max: 2,
    };
}

/// What memory did over the base points that are judged.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Trend {
    pub bytes_per_act: f64,
    pub kib_per_hour: f64,
    /// Of the last quarter above the second.
    pub rise: f64,
}

/// The trend of resident memory over the base points behind the warm-up.
pub fn trend(bases: &[Sample], bounds: &Bounds) -> Trend {
    let judged = &bases[share(bases.len(), bounds.warm_up)..];
    let over = |x: fn(&Sample) -> f64| {
        let points = judged.iter().map(|base| (x(base), base.rss_kib as f64));
        slope(&points.collect::<Vec<_>>())
    };
    let quarter = |first: f64| {
        let from = share(bases.len(), first);
        let to = share(bases.len(), first + 0.25).max(from + 1);
        median(bases[from..to].iter().map(|base| base.rss_kib as f64))
    };
    Trend {
        bytes_per_act: 1024.0 * over(|base| base.acts as f64),
        kib_per_hour: 3600.0 * over(|base| base.at_s),
        rise: quarter(0.75) / quarter(0.25) - 1.0,
    }
}

/// What is not flat, in words; nothing if all is.
pub fn judge(bases: &[Sample], bounds: &Bounds) -> Vec<String> {
    let Some((first, later)) = bases.split_first() else {
        return vec!["no base point".into()];
    };
    let mut broken = Vec::new();
    for base in later {
        for (what, was, is) in [
            (
                "descriptors",
                first.descriptors as f64,
                base.descriptors as f64,
            ),
            ("tasks", first.tasks, base.tasks),
            ("sockets", first.sockets, base.sockets),
            ("connections", first.connections, base.connections),
        ] {
            if is != was {
                broken.push(format!("round {}: {is} {what}, were {was}", base.round));
            }
        }
    }
    let threads_min = bases.iter().map(|base| base.threads).min().unwrap_or(0);
    for base in bases {
        for (what, is, most) in [
            ("rooms that do not sleep", base.rooms, 0.0),
            ("sessions without a socket", base.awake, base.sockets),
            (
                "files of the store",
                base.files as f64,
                bounds.files_max as f64,
            ),
            (
                "threads",
                base.threads as f64,
                (threads_min + bounds.threads_spread_max) as f64,
            ),
        ] {
            if is > most {
                broken.push(format!("round {}: {is} {what}, at most {most}", base.round));
            }
        }
    }
    let trend = trend(bases, bounds);
    for (what, is, most) in [
        (
            "bytes of memory for each act",
            trend.bytes_per_act,
            bounds.bytes_per_act_max,
        ),
        (
            "KiB of memory in an hour",
            trend.kib_per_hour,
            bounds.kib_per_hour_max,
        ),
        (
            "percent more memory",
            100.0 * trend.rise,
            100.0 * bounds.rise_max,
        ),
    ] {
        if is > most {
            broken.push(format!("{is:.1} {what}, at most {most}"));
        }
    }
    broken
}

/// The median of the slopes between all pairs (Theil 1950, Sen 1968): a few odd points
/// do not move it.
fn slope(points: &[(f64, f64)]) -> f64 {
    let pairs = points.iter().enumerate().flat_map(|(at, one)| {
        let later = points[at + 1..].iter();
        later.map(move |other| (other.1 - one.1) / (other.0 - one.0))
    });
    median(pairs)
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.filter(|value| value.is_finite()).collect();
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => 0.0,
        count if count % 2 == 1 => values[count / 2],
        count => f64::midpoint(values[count / 2 - 1], values[count / 2]),
    }
}

/// The index at this share of `count`, never past the last.
fn share(count: usize, share: f64) -> usize {
    ((count as f64 * share) as usize).min(count.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A base point a minute and 600 acts each, with what an allocator scatters.
    fn bases(kib_per_round: f64) -> Vec<Sample> {
        let scatter = [0, 300, 120, 700, 40, 260, 500];
        (0..60)
            .map(|round| Sample {
                round,
                base: true,
                at_s: 60.0 * round as f64,
                acts: 600 * round as u64,
                rss_kib: 60_000 + scatter[round % 7] + (kib_per_round * round as f64) as u64,
                descriptors: 112,
                tasks: 260.0,
                sockets: 100.0,
                connections: 101.0,
                threads: 12,
                files: 20,
                ..Sample::default()
            })
            .collect()
    }

    #[test]
    fn scattered_is_flat() {
        assert_eq!(judge(&bases(0.0), &Bounds::LONG), Vec::<String>::new());
    }

    #[test]
    fn one_high_point_is_not_a_slope() {
        let mut bases = bases(0.0);
        bases[40].rss_kib += 50_000;
        assert_eq!(judge(&bases, &Bounds::LONG), Vec::<String>::new());
    }

    #[test]
    fn a_rise_is_found_by_both_rules() {
        // 200 KiB a minute: 12 MiB in the hour.
        let broken = judge(&bases(200.0), &Bounds::LONG);
        assert_eq!(broken.len(), 3, "{broken:?}");
    }

    #[test]
    fn a_rise_of_the_warm_up_is_none() {
        let mut bases = bases(0.0);
        for base in &mut bases[..10] {
            base.rss_kib -= 30_000;
        }
        assert_eq!(judge(&bases, &Bounds::LONG), Vec::<String>::new());
    }

    #[test]
    fn one_task_or_descriptor_too_many_is_found() {
        let mut more = bases(0.0);
        more[59].tasks += 1.0;
        more[7].descriptors += 1;
        let broken = judge(&more, &Bounds::LONG);
        assert_eq!(
            broken,
            [
                "round 7: 113 descriptors, were 112",
                "round 59: 261 tasks, were 260"
            ]
        );
    }

    #[test]
    fn rooms_files_and_threads_have_their_bounds() {
        let mut more = bases(0.0);
        (more[3].rooms, more[4].files, more[5].threads) = (1.0, 900, 15);
        more[6].awake = 101.0;
        assert_eq!(judge(&more, &Bounds::LONG).len(), 4);
    }
}
