//! Putting a loader together.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::{
    description::Description,
    handle::{Backend, Loader},
    inline::Inline,
    input::Input,
    launch::Launch,
    pool::{Pool, Slots},
    ranks::{Ranks, auto_workers, local_world_size},
    shared_cut::{SharedCut, make_room},
    shared_order::SharedOrder,
    shared_source::SharedSource,
    slots::{ArenaBudget, Growth, SlotPlan, WorkerMemory},
    tick::Tick,
};
use crate::{
    coordinator::SourceFacts,
    error::{Error, Result},
    field::{Recipe, View},
    function::Functions,
    job::{LoaderDescription, OnError, Options},
    learn::learn,
    pipeline::{Pipeline, PipelineSpec},
    rng::Key,
    sampler::{CutSpec, Even, Shuffle},
    source::SourceSpec,
    spec::FieldSpec,
    sys::memory::SharedMemory,
    transform::{BatchTransform, Transform},
    worker::Filler,
};

impl Loader {
    /// Returns a builder over this source.
    pub fn builder(input: impl Into<Input>) -> Builder {
        Builder::new(input.into())
    }
}

/// Collects the options of a loader; [`build`](Self::build) checks it and starts the pool.
#[derive(Debug)]
pub struct Builder {
    input: Input,
    recipe: Recipe,
    options: Options,
    order: Option<SharedOrder>,
    cut: Option<SharedCut>,
    /// What is found out when the loader is built, since nobody has given it.
    finds: Finds,
    prefetch: usize,
    memory_limit: u64,
    launch: Launch,
    functions: Option<CalledBy>,
}

#[derive(Clone, Copy, Debug)]
struct Finds {
    ranks: bool,
    workers: bool,
}

/// What transforms call.
#[derive(Debug)]
enum CalledBy {
    /// Functions of this process.
    Here(Arc<dyn Functions>),
    /// Code of the user, for a program that opens it.
    Code(Vec<Arc<SharedMemory>>),
}

macro_rules! options {
    ($($(#[$doc:meta])* $name:ident: $type:ty),* $(,)?) => {
        $($(#[$doc])*
        #[must_use]
        pub fn $name(mut self, $name: $type) -> Self {
            self.options.$name = $name;
            self
        })*
    };
}

impl Builder {
    fn new(input: Input) -> Self {
        Self {
            input,
            recipe: Recipe::default(),
            options: Options::default(),
            order: None,
            cut: None,
            finds: Finds { ranks: true, workers: true },
            prefetch: 4,
            memory_limit: 2 << 30,
            launch: Launch::default(),
            functions: None,
        }
    }

    /// Returns the builder of what a description says, over this source.
    pub fn described(description: Description, input: impl Into<Input>) -> Self {
        let Description { recipe, options, prefetch, memory_limit } = description;
        let finds = Finds { ranks: false, workers: false };
        Self { recipe, options, finds, prefetch, memory_limit, ..Self::new(input.into()) }
    }

    options! {
        /// Sets the rows of a batch. Default: 1.
        batch_size: u32,
        /// Sets the seed of every random choice. Default: 0.
        seed: u64,
        /// Sets whether samples that do not fill a batch on every rank are left out. Default: false.
        drop_last: bool,
        /// Sets what becomes of samples that cannot be shared out evenly among the ranks. Default: the first ones come again.
        even: Even,
        /// Sets the decoding threads of each worker. Default: 1.
        threads_per_worker: u32,
        /// Sets the most bytes that a sample may take while it is made: its files, what decoding and transforming it
        /// allocates, and its pixels. A larger one is a bad sample. Default: none, for 1 GiB.
        max_sample_bytes: Option<u64>,
        /// Sets after how many batches' worth of rows a worker ends and another one takes its seat. Default: none, for never.
        worker_batches: Option<u32>,
        /// Sets the bytes of a worker's own memory from which on it ends and another one takes its seat. Default: none.
        worker_memory_limit: Option<u64>,
        /// Sets what becomes of bad samples. Default: their batch fails.
        on_error: OnError,
        /// Sets how long a worker may go without finishing a sample before it is replaced. Default: 60 s.
        stall_timeout: Duration,
    }

    /// Sets this trainer's number, of several that share the samples. Default, where the number of trainers is not given
    /// either: that of [`Ranks::from_env`].
    #[must_use]
    pub fn rank(mut self, rank: u32) -> Self {
        self.options.rank = rank;
        self.finds.ranks = false;
        self
    }

    /// Sets the number of trainers. Default, where the rank is not given either: that of [`Ranks::from_env`].
    #[must_use]
    pub fn world_size(mut self, trainers: u32) -> Self {
        self.options.world_size = trainers;
        self.finds.ranks = false;
        self
    }

    /// Sets the number of worker processes; 0 does the work in this process. Default: the processors that affinity and
    /// cgroup allow, shared among the trainers of this machine; 0 where a source is no data and workers are not forked, as it
    /// can be in this process alone.
    #[must_use]
    pub fn num_workers(mut self, workers: u32) -> Self {
        self.options.num_workers = workers;
        self.finds.workers = false;
        self
    }

    /// Sets whether each epoch has its own random order, and of what. Default: false.
    #[must_use]
    pub fn shuffle(mut self, shuffle: impl Into<Shuffle>) -> Self {
        self.options.shuffle = shuffle.into();
        self
    }

    /// Sets another order of each epoch than those of [`shuffle`](Self::shuffle), which stays false. Default: none.
    #[must_use]
    pub fn order(mut self, order: SharedOrder) -> Self {
        self.options.order = Some(order.spec().clone());
        self.order = Some(order);
        self
    }

    /// Sets how samples become batches. Then [`batch_size`](Self::batch_size) is the number of rows that are packed, or 1.
    /// Default: none, for batches of so many samples.
    #[must_use]
    pub fn cut(mut self, cut: SharedCut) -> Self {
        self.options.cut = Some(cut.spec().clone());
        self.cut = Some(cut);
        self
    }

    /// Sets the transforms of a field, in order. Default: none.
    #[must_use]
    pub fn transforms(mut self, field: impl Into<String>, transforms: impl Into<Vec<Transform>>) -> Self {
        self.recipe.transforms.insert(field.into(), transforms.into());
        self
    }

    /// Sets the transforms that batches of each variant have beside those of all batches, by field: of a cut by
    /// [`MultiScale`](crate::MultiScale), one for each of its batch sizes. Default: none.
    #[must_use]
    pub fn variants(mut self, variants: impl Into<Vec<BTreeMap<String, Vec<Transform>>>>) -> Self {
        self.recipe.variants = variants.into();
        self
    }

    /// Adds a field that is made of another one, with transforms and draws of its own; encoded images are decoded once for
    /// all that are made of them. The other field stays where it has transforms, an empty list of them, or a capacity.
    #[must_use]
    pub fn view(mut self, view: View, transforms: impl Into<Vec<Transform>>) -> Self {
        self.recipe.transforms.insert(view.name.clone(), transforms.into());
        self.recipe.views.push(view);
        self
    }

    /// Sets the transforms of whole batches, in order. Default: none.
    #[must_use]
    pub fn batch_transforms(mut self, transforms: impl Into<Vec<BatchTransform>>) -> Self {
        self.recipe.batch_transforms = transforms.into();
        self
    }

    /// Sets the room of each row of a ragged field: entries of a list, pixels of an image. Default: for a list, the
    /// source's longest one; images need it where their transforms fix no size. A sample that needs more is a bad one.
    #[must_use]
    pub fn capacity(mut self, field: impl Into<String>, capacity: usize) -> Self {
        self.recipe.capacity.insert(field.into(), capacity);
        self
    }

    /// Makes the transforms of a field draw as those of another one, so that equal transforms do the same. Default: each
    /// field draws by itself, and what follows an image as the image.
    #[must_use]
    pub fn draws(mut self, field: impl Into<String>, of: impl Into<String>) -> Self {
        self.recipe.draws.insert(field.into(), of.into());
        self
    }

    /// Sets how many batches may be finished ahead of the one in the trainer's hands, in total. Default: 4.
    #[must_use]
    pub fn prefetch(mut self, batches: usize) -> Self {
        self.prefetch = batches;
        self
    }

    /// Sets how large the arena, and so everything that is buffered, may become, in bytes. Default: 2 GiB.
    #[must_use]
    pub fn memory_limit(mut self, bytes: u64) -> Self {
        self.memory_limit = bytes;
        self
    }

    /// Sets how the coordinator is started. Default: [`Launch::Reexec`].
    #[must_use]
    pub fn launch(mut self, launch: Launch) -> Self {
        self.launch = launch;
        self
    }

    /// Sets the functions that transforms call, where this process makes the samples. Default: none.
    #[must_use]
    pub fn functions(mut self, functions: Arc<dyn Functions>) -> Self {
        self.functions = Some(CalledBy::Here(functions));
        self
    }

    /// Sets code of the user with the functions that transforms call, in pieces of shared memory, for a program that opens it;
    /// see [`Launch`]. Default: none.
    #[must_use]
    pub fn code(mut self, pieces: Vec<Arc<SharedMemory>>) -> Self {
        self.functions = Some(CalledBy::Code(pieces));
        self
    }

    /// Checks everything, opens the source and starts the workers.
    ///
    /// # Errors
    /// [`Error::Config`] for options, transforms or a source that cannot work, [`Error::Memory`] for an arena that
    /// does not fit under a limit, [`Error::Sys`] for a source that cannot be opened or a process that cannot be
    /// started.
    pub fn build(self) -> Result<Loader> {
        self.build_with(&mut || Ok(()))
    }

    /// As [`build`](Self::build); calls `tick` at least every 100 ms while it waits.
    ///
    /// # Errors
    /// As [`build`](Self::build), and those of `tick`.
    pub fn build_with(mut self, tick: Tick<'_>) -> Result<Loader> {
        self.find()?;
        self.options.validate()?;
        if self.prefetch == 0 {
            return Err(Error::config("prefetch must be at least 1, not 0"));
        }
        let Self { input, mut recipe, options, order, cut, prefetch, memory_limit, launch, functions, .. } = self;
        if let Some(cut) = options.cut.as_ref().and_then(CutSpec::lengths) {
            make_room(cut, &input, &mut recipe)?;
        }
        let given = (order.as_ref(), cut.as_ref());
        let budget = ArenaBudget { prefetch, memory_limit };
        let (input, functions) = match WithCode::of(input, recipe.clone(), functions)? {
            Ok(code) => return code.start(options, given, &launch, budget, tick),
            Err(others) => others,
        };
        let opened = Opened::of(input, recipe, &options, functions)?;
        let layout = options.layout(&opened.fields)?;
        let fields = layout.each_specs();
        budget.check(&layout)?;
        budget.check_beside(&layout, opened.beside(&options))?;
        let (backend, facts) = if options.num_workers == 0 {
            let pipeline = opened.pipeline()?;
            let facts = SourceFacts::of(pipeline.source());
            let filler = Filler::new(pipeline, &options, None)?;
            (Backend::Inline(Box::new(Inline::new(filler, layout, budget, &options)?)), facts)
        } else {
            let description = LoaderDescription { pipeline: opened.spec(), functions: 0, options: options.clone() };
            let forked = matches!(launch, Launch::Fork);
            if description.pipeline.is_none() && !forked {
                return Err(Error::config("a source that is no data needs num_workers(0) or launch(Launch::Fork)"));
            }
            let pipeline = if forked { Some(opened.pipeline()?) } else { None };
            let slots = Slots::Laid(layout, opened.growth(&options));
            // One that is forked has the pipeline, and the memory with it.
            let memory = with_table(order.as_ref(), if forked { &[] } else { opened.memory() });
            let (pool, facts, _) = Pool::start_up(&description, &launch, (pipeline, &memory), slots, budget, tick)?;
            (Backend::Pool(Box::new(pool)), facts)
        };
        Loader::new(fields, options, facts, given, backend)
    }
}

/// Returns the pieces of memory that a coordinator is sent: the order's, where it has some, before the others.
fn with_table(order: Option<&SharedOrder>, memory: &[Arc<SharedMemory>]) -> Vec<Arc<SharedMemory>> {
    order.and_then(SharedOrder::memory).into_iter().chain(memory).map(Arc::clone).collect()
}

impl Builder {
    /// Finds out what nobody has given.
    fn find(&mut self) -> Result<()> {
        if self.finds.ranks {
            let Ranks { rank, world_size, .. } = Ranks::from_env()?;
            (self.options.rank, self.options.world_size) = (rank, world_size);
        }
        if self.finds.workers {
            let is_here = matches!(self.input, Input::Custom(_)) || matches!(self.functions, Some(CalledBy::Here(_)));
            let can_have = !is_here || matches!(self.launch, Launch::Fork);
            let trainers = local_world_size()? as usize;
            self.options.num_workers = if can_have { auto_workers(trainers) as u32 } else { 0 };
        }
        Ok(())
    }
}

/// A loader some of which is code of the user: what it is made of is learned before there are slots.
struct WithCode {
    pipeline: PipelineSpec,
    /// The pieces of memory that hold functions, and no source.
    functions: usize,
    memory: Vec<Arc<SharedMemory>>,
}

impl WithCode {
    /// Returns what there is of code; or what was given, where nothing is.
    #[expect(clippy::type_complexity, reason = "it is what was given")]
    fn of(
        input: Input,
        recipe: Recipe,
        functions: Option<CalledBy>,
    ) -> Result<Result<Self, (Input, Option<Arc<dyn Functions>>)>> {
        let (source, functions, memory) = match (input, functions) {
            (Input::Code(pieces), _) => (SourceSpec::Code { pieces: pieces.len() }, 0, pieces),
            (Input::Shared(source), Some(CalledBy::Code(pieces))) => {
                (source.spec().clone(), pieces.len(), [&pieces[..], source.memory()].concat())
            }
            (Input::Custom(_), Some(CalledBy::Code(_))) => {
                return Err(Error::config("functions that are code go with a source that is, or with data"));
            }
            (input, Some(CalledBy::Here(functions))) => return Ok(Err((input, Some(functions)))),
            (input, None) => return Ok(Err((input, None))),
        };
        Ok(Ok(Self { pipeline: PipelineSpec { source, recipe }, functions, memory }))
    }

    fn start(
        self,
        options: Options,
        order: (Option<&SharedOrder>, Option<&SharedCut>),
        launch: &Launch,
        budget: ArenaBudget,
        tick: Tick<'_>,
    ) -> Result<Loader> {
        let Self { pipeline, functions, memory } = self;
        check_threads(&options)?;
        if !matches!(pipeline.source, SourceSpec::Code { .. }) {
            // A mistake is told before a process is started.
            pipeline.fields()?;
        }
        let beside = WorkerMemory::of(&pipeline.source, &options);
        let plan = SlotPlan { recipe: pipeline.recipe.clone(), options: options.clone(), beside };
        let description = LoaderDescription { pipeline: Some(pipeline), functions, options: options.clone() };
        let memory = with_table(order.0, &memory);
        let given = (None, &memory[..]);
        let (pool, facts, fields) = Pool::start_up(&description, launch, given, Slots::Planned(plan), budget, tick)?;
        Loader::new(fields, options, facts, order, Backend::Pool(Box::new(pool)))
    }
}

/// Refuses threads where code of the user runs.
fn check_threads(options: &Options) -> Result<()> {
    match options.threads_per_worker {
        1 => Ok(()),
        more => Err(Error::config(format!(
            "threads_per_worker must be 1, not {more}, where a dataset or functions of yours run: the threads of a \
             worker share one interpreter; take more workers"
        ))),
    }
}

/// An input with what is known of it before it is opened.
struct Opened {
    fields: Vec<Vec<FieldSpec>>,
    made: Made,
    sample_bytes: u64,
}

/// What makes samples.
enum Made {
    /// Data: this is made of the source's records.
    Described(Box<SharedSource>, Recipe),
    /// A pipeline of this process.
    Here(Arc<Pipeline>),
}

impl Opened {
    fn of(input: Input, recipe: Recipe, options: &Options, functions: Option<Arc<dyn Functions>>) -> Result<Self> {
        let sample_bytes = options.sample_bytes();
        let custom = |source, recipe: &Recipe, functions: Option<Arc<dyn Functions>>| {
            let pipeline = Pipeline::new(source, recipe)?.with_sample_bytes(sample_bytes);
            let pipeline = functions.into_iter().fold(pipeline, Pipeline::with_functions);
            let fields = pipeline.specs().into_iter().map(<[_]>::to_vec).collect();
            Ok(Self { fields, made: Made::Here(Arc::new(pipeline)), sample_bytes })
        };
        if let Some(functions) = functions {
            check_threads(options)?;
            let source = match input {
                Input::Shared(source) => source.open()?,
                Input::Custom(source) => source,
                Input::Code(_) => return Err(Error::config("code of the user needs workers")),
            };
            let key = Key { seed: options.seed, epoch: 0, index: 0 };
            let recipe = learn(&source, recipe, &functions, key)?;
            return custom(source, &recipe, Some(functions));
        }
        match input {
            Input::Shared(source) => {
                let fields = PipelineSpec { source: source.spec().clone(), recipe: recipe.clone() }.fields()?;
                Ok(Self { fields, made: Made::Described(Box::new(source), recipe), sample_bytes })
            }
            Input::Custom(source) => custom(source, &recipe, None),
            Input::Code(_) => Err(Error::config("code of the user needs workers")),
        }
    }

    /// Returns the pipeline as data, where it is some.
    fn spec(&self) -> Option<PipelineSpec> {
        match &self.made {
            Made::Described(source, recipe) => {
                Some(PipelineSpec { source: source.spec().clone(), recipe: recipe.clone() })
            }
            Made::Here(_) => None,
        }
    }

    /// Returns the memory that the source lies in, where it is data.
    fn memory(&self) -> &[Arc<SharedMemory>] {
        match &self.made {
            Made::Described(source, _) => source.memory(),
            Made::Here(_) => &[],
        }
    }

    /// Returns what workers need of memory beside slots.
    fn beside(&self, options: &Options) -> WorkerMemory {
        self.spec().map_or_else(WorkerMemory::default, |spec| WorkerMemory::of(&spec.source, options))
    }

    /// Returns how slots are laid out anew where the source has guessed how much room its samples need.
    fn growth(&self, options: &Options) -> Option<Growth> {
        let PipelineSpec { source, recipe } = self.spec()?;
        let plan = SlotPlan { recipe, options: options.clone(), beside: WorkerMemory::default() };
        Some(Growth { plan, fields: source.fields() })
    }

    /// Opens the source in this process.
    fn pipeline(&self) -> Result<Arc<Pipeline>> {
        match &self.made {
            Made::Here(pipeline) => Ok(Arc::clone(pipeline)),
            Made::Described(source, recipe) => {
                let pipeline = Pipeline::new(source.open()?, recipe)?;
                Ok(Arc::new(pipeline.with_sample_bytes(self.sample_bytes)))
            }
        }
    }
}
