//! Random lives of a hub: `proptest` chooses the steps, and finds the fewest that still fail.

use proptest::strategy::{BoxedStrategy, Strategy};
use proptest::test_runner::{Config, RngAlgorithm};
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};

use super::reference::Model;
use super::steps::{Setup, Step};
use super::strategies;
use super::system::System;
use crate::test_depth::is_deep;

/// A few people, or a room with about a hundred of them.
struct Hub<const CROWDED: bool>;

impl<const CROWDED: bool> ReferenceStateMachine for Hub<CROWDED> {
    type State = Model;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Model> {
        Setup::any(CROWDED).prop_map(Model::new).boxed()
    }

    fn transitions(model: &Model) -> BoxedStrategy<Step> {
        strategies::next(model)
    }

    fn preconditions(model: &Model, step: &Step) -> bool {
        model.can(step)
    }

    fn apply(mut model: Model, step: &Step) -> Model {
        model.apply(step);
        model
    }
}

impl<const CROWDED: bool> StateMachineTest for Hub<CROWDED> {
    type SystemUnderTest = System;
    type Reference = Self;

    fn init_test(model: &Model) -> System {
        System::new(model)
    }

    fn apply(mut system: System, model: &Model, step: Step) -> System {
        system.apply(&step);
        system.compare(model);
        system
    }

    fn teardown(system: System, model: Model) {
        system.finish(&model);
    }
}

/// `PROPTEST_CASES` cases if it is set; otherwise `deep` cases in a deep run, and a fifth of them by
/// default.
fn config(deep: u32) -> Config {
    // (the default algorithm takes a third of the time of a debug build)
    let rng_algorithm = RngAlgorithm::XorShift;
    let default = Config { failure_persistence: None, rng_algorithm, ..Config::default() };
    match std::env::var_os("PROPTEST_CASES") {
        Some(_) => default,
        None => Config { cases: if is_deep() { deep } else { deep / 5 }, ..default },
    }
}

prop_state_machine! {
    #![proptest_config(config(10_000))]

    #[test]
    fn whatever_people_do_the_hub_says_what_the_model_says(sequential 1..40 => Hub<false>);
}

prop_state_machine! {
    #![proptest_config(config(500))]

    #[test]
    fn a_crowd_is_told_everything_once(sequential 1..20 => Hub<true>);
}
