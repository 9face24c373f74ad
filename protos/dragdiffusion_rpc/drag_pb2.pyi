from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PixelFormat(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PIXEL_FORMAT_UNSPECIFIED: _ClassVar[PixelFormat]
    PIXEL_FORMAT_RGBA8: _ClassVar[PixelFormat]
    PIXEL_FORMAT_RGB8: _ClassVar[PixelFormat]
    PIXEL_FORMAT_Y8: _ClassVar[PixelFormat]

class Mode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MODE_UNSPECIFIED: _ClassVar[Mode]
    MODE_DEFAULT: _ClassVar[Mode]
    MODE_REFERENCE: _ClassVar[Mode]
    MODE_FAST: _ClassVar[Mode]

class TimestepSpacing(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TIMESTEP_SPACING_UNSPECIFIED: _ClassVar[TimestepSpacing]
    TIMESTEP_SPACING_LEADING: _ClassVar[TimestepSpacing]
    TIMESTEP_SPACING_TRAILING: _ClassVar[TimestepSpacing]

class Fit(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FIT_UNSPECIFIED: _ClassVar[Fit]
    FIT_WIDTH: _ClassVar[Fit]
    FIT_AREA: _ClassVar[Fit]

class SupervisionTarget(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SUPERVISION_TARGET_UNSPECIFIED: _ClassVar[SupervisionTarget]
    SUPERVISION_TARGET_CURRENT: _ClassVar[SupervisionTarget]
    SUPERVISION_TARGET_ORIGINAL: _ClassVar[SupervisionTarget]

class Stage(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STAGE_UNSPECIFIED: _ClassVar[Stage]
    STAGE_QUEUED: _ClassVar[Stage]
    STAGE_LOADING_MODEL: _ClassVar[Stage]
    STAGE_ENCODING: _ClassVar[Stage]
    STAGE_FINE_TUNING: _ClassVar[Stage]
    STAGE_INVERTING: _ClassVar[Stage]
    STAGE_DRAGGING: _ClassVar[Stage]
    STAGE_DENOISING: _ClassVar[Stage]
    STAGE_COMPOSITING: _ClassVar[Stage]
    STAGE_SAMPLING: _ClassVar[Stage]
    STAGE_WARPING: _ClassVar[Stage]

class ModelState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MODEL_STATE_UNSPECIFIED: _ClassVar[ModelState]
    MODEL_STATE_READY: _ClassVar[ModelState]
    MODEL_STATE_PARTIAL: _ClassVar[ModelState]
    MODEL_STATE_ABSENT: _ClassVar[ModelState]
    MODEL_STATE_DAMAGED: _ClassVar[ModelState]
PIXEL_FORMAT_UNSPECIFIED: PixelFormat
PIXEL_FORMAT_RGBA8: PixelFormat
PIXEL_FORMAT_RGB8: PixelFormat
PIXEL_FORMAT_Y8: PixelFormat
MODE_UNSPECIFIED: Mode
MODE_DEFAULT: Mode
MODE_REFERENCE: Mode
MODE_FAST: Mode
TIMESTEP_SPACING_UNSPECIFIED: TimestepSpacing
TIMESTEP_SPACING_LEADING: TimestepSpacing
TIMESTEP_SPACING_TRAILING: TimestepSpacing
FIT_UNSPECIFIED: Fit
FIT_WIDTH: Fit
FIT_AREA: Fit
SUPERVISION_TARGET_UNSPECIFIED: SupervisionTarget
SUPERVISION_TARGET_CURRENT: SupervisionTarget
SUPERVISION_TARGET_ORIGINAL: SupervisionTarget
STAGE_UNSPECIFIED: Stage
STAGE_QUEUED: Stage
STAGE_LOADING_MODEL: Stage
STAGE_ENCODING: Stage
STAGE_FINE_TUNING: Stage
STAGE_INVERTING: Stage
STAGE_DRAGGING: Stage
STAGE_DENOISING: Stage
STAGE_COMPOSITING: Stage
STAGE_SAMPLING: Stage
STAGE_WARPING: Stage
MODEL_STATE_UNSPECIFIED: ModelState
MODEL_STATE_READY: ModelState
MODEL_STATE_PARTIAL: ModelState
MODEL_STATE_ABSENT: ModelState
MODEL_STATE_DAMAGED: ModelState

class BufferReference(_message.Message):
    __slots__ = ("sha256", "width", "height", "format")
    SHA256_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    sha256: bytes
    width: int
    height: int
    format: PixelFormat
    def __init__(self, sha256: _Optional[bytes] = ..., width: _Optional[int] = ..., height: _Optional[int] = ..., format: _Optional[_Union[PixelFormat, str]] = ...) -> None: ...

class FindMissingRequest(_message.Message):
    __slots__ = ("buffers",)
    BUFFERS_FIELD_NUMBER: _ClassVar[int]
    buffers: _containers.RepeatedCompositeFieldContainer[BufferReference]
    def __init__(self, buffers: _Optional[_Iterable[_Union[BufferReference, _Mapping]]] = ...) -> None: ...

class FindMissingResponse(_message.Message):
    __slots__ = ("missing",)
    MISSING_FIELD_NUMBER: _ClassVar[int]
    missing: _containers.RepeatedCompositeFieldContainer[BufferReference]
    def __init__(self, missing: _Optional[_Iterable[_Union[BufferReference, _Mapping]]] = ...) -> None: ...

class UploadRequest(_message.Message):
    __slots__ = ("header", "chunk")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    header: BufferReference
    chunk: bytes
    def __init__(self, header: _Optional[_Union[BufferReference, _Mapping]] = ..., chunk: _Optional[bytes] = ...) -> None: ...

class UploadResponse(_message.Message):
    __slots__ = ("buffer",)
    BUFFER_FIELD_NUMBER: _ClassVar[int]
    buffer: BufferReference
    def __init__(self, buffer: _Optional[_Union[BufferReference, _Mapping]] = ...) -> None: ...

class Rectangle(_message.Message):
    __slots__ = ("x", "y", "width", "height")
    X_FIELD_NUMBER: _ClassVar[int]
    Y_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    x: int
    y: int
    width: int
    height: int
    def __init__(self, x: _Optional[int] = ..., y: _Optional[int] = ..., width: _Optional[int] = ..., height: _Optional[int] = ...) -> None: ...

class Point(_message.Message):
    __slots__ = ("x", "y")
    X_FIELD_NUMBER: _ClassVar[int]
    Y_FIELD_NUMBER: _ClassVar[int]
    x: float
    y: float
    def __init__(self, x: _Optional[float] = ..., y: _Optional[float] = ...) -> None: ...

class Trajectory(_message.Message):
    __slots__ = ("points",)
    POINTS_FIELD_NUMBER: _ClassVar[int]
    points: _containers.RepeatedCompositeFieldContainer[Point]
    def __init__(self, points: _Optional[_Iterable[_Union[Point, _Mapping]]] = ...) -> None: ...

class HyperParameters(_message.Message):
    __slots__ = ("num_inference_steps", "inversion_strength", "max_drag_steps", "learning_rate", "mask_weight", "supervision_radius", "tracking_radius", "arrival_distance", "drag_steps_per_timestep", "lora_steps", "lora_rank", "lora_learning_rate", "lora_batch_size", "guidance_scale", "reference_start_step", "reference_start_layer", "feature_block", "feature_scale", "lock_outside_mask", "pixel_centres", "supervision_target", "working_size", "fit", "timestep_spacing", "reference_from_inversion", "settle", "warp", "lora_used_timesteps", "lora_cosine", "lora_up_blocks_only")
    NUM_INFERENCE_STEPS_FIELD_NUMBER: _ClassVar[int]
    INVERSION_STRENGTH_FIELD_NUMBER: _ClassVar[int]
    MAX_DRAG_STEPS_FIELD_NUMBER: _ClassVar[int]
    LEARNING_RATE_FIELD_NUMBER: _ClassVar[int]
    MASK_WEIGHT_FIELD_NUMBER: _ClassVar[int]
    SUPERVISION_RADIUS_FIELD_NUMBER: _ClassVar[int]
    TRACKING_RADIUS_FIELD_NUMBER: _ClassVar[int]
    ARRIVAL_DISTANCE_FIELD_NUMBER: _ClassVar[int]
    DRAG_STEPS_PER_TIMESTEP_FIELD_NUMBER: _ClassVar[int]
    LORA_STEPS_FIELD_NUMBER: _ClassVar[int]
    LORA_RANK_FIELD_NUMBER: _ClassVar[int]
    LORA_LEARNING_RATE_FIELD_NUMBER: _ClassVar[int]
    LORA_BATCH_SIZE_FIELD_NUMBER: _ClassVar[int]
    GUIDANCE_SCALE_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_START_STEP_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_START_LAYER_FIELD_NUMBER: _ClassVar[int]
    FEATURE_BLOCK_FIELD_NUMBER: _ClassVar[int]
    FEATURE_SCALE_FIELD_NUMBER: _ClassVar[int]
    LOCK_OUTSIDE_MASK_FIELD_NUMBER: _ClassVar[int]
    PIXEL_CENTRES_FIELD_NUMBER: _ClassVar[int]
    SUPERVISION_TARGET_FIELD_NUMBER: _ClassVar[int]
    WORKING_SIZE_FIELD_NUMBER: _ClassVar[int]
    FIT_FIELD_NUMBER: _ClassVar[int]
    TIMESTEP_SPACING_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_FROM_INVERSION_FIELD_NUMBER: _ClassVar[int]
    SETTLE_FIELD_NUMBER: _ClassVar[int]
    WARP_FIELD_NUMBER: _ClassVar[int]
    LORA_USED_TIMESTEPS_FIELD_NUMBER: _ClassVar[int]
    LORA_COSINE_FIELD_NUMBER: _ClassVar[int]
    LORA_UP_BLOCKS_ONLY_FIELD_NUMBER: _ClassVar[int]
    num_inference_steps: int
    inversion_strength: float
    max_drag_steps: int
    learning_rate: float
    mask_weight: float
    supervision_radius: int
    tracking_radius: int
    arrival_distance: float
    drag_steps_per_timestep: int
    lora_steps: int
    lora_rank: int
    lora_learning_rate: float
    lora_batch_size: int
    guidance_scale: float
    reference_start_step: int
    reference_start_layer: int
    feature_block: int
    feature_scale: float
    lock_outside_mask: bool
    pixel_centres: bool
    supervision_target: SupervisionTarget
    working_size: int
    fit: Fit
    timestep_spacing: TimestepSpacing
    reference_from_inversion: bool
    settle: bool
    warp: bool
    lora_used_timesteps: bool
    lora_cosine: bool
    lora_up_blocks_only: bool
    def __init__(self, num_inference_steps: _Optional[int] = ..., inversion_strength: _Optional[float] = ..., max_drag_steps: _Optional[int] = ..., learning_rate: _Optional[float] = ..., mask_weight: _Optional[float] = ..., supervision_radius: _Optional[int] = ..., tracking_radius: _Optional[int] = ..., arrival_distance: _Optional[float] = ..., drag_steps_per_timestep: _Optional[int] = ..., lora_steps: _Optional[int] = ..., lora_rank: _Optional[int] = ..., lora_learning_rate: _Optional[float] = ..., lora_batch_size: _Optional[int] = ..., guidance_scale: _Optional[float] = ..., reference_start_step: _Optional[int] = ..., reference_start_layer: _Optional[int] = ..., feature_block: _Optional[int] = ..., feature_scale: _Optional[float] = ..., lock_outside_mask: _Optional[bool] = ..., pixel_centres: _Optional[bool] = ..., supervision_target: _Optional[_Union[SupervisionTarget, str]] = ..., working_size: _Optional[int] = ..., fit: _Optional[_Union[Fit, str]] = ..., timestep_spacing: _Optional[_Union[TimestepSpacing, str]] = ..., reference_from_inversion: _Optional[bool] = ..., settle: _Optional[bool] = ..., warp: _Optional[bool] = ..., lora_used_timesteps: _Optional[bool] = ..., lora_cosine: _Optional[bool] = ..., lora_up_blocks_only: _Optional[bool] = ...) -> None: ...

class Generation(_message.Message):
    __slots__ = ("prompt", "negative_prompt", "seed", "num_inference_steps", "guidance_scale", "width", "height", "timestep_spacing")
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    NEGATIVE_PROMPT_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    NUM_INFERENCE_STEPS_FIELD_NUMBER: _ClassVar[int]
    GUIDANCE_SCALE_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    TIMESTEP_SPACING_FIELD_NUMBER: _ClassVar[int]
    prompt: str
    negative_prompt: str
    seed: int
    num_inference_steps: int
    guidance_scale: float
    width: int
    height: int
    timestep_spacing: TimestepSpacing
    def __init__(self, prompt: _Optional[str] = ..., negative_prompt: _Optional[str] = ..., seed: _Optional[int] = ..., num_inference_steps: _Optional[int] = ..., guidance_scale: _Optional[float] = ..., width: _Optional[int] = ..., height: _Optional[int] = ..., timestep_spacing: _Optional[_Union[TimestepSpacing, str]] = ...) -> None: ...

class GenerateRequest(_message.Message):
    __slots__ = ("model", "generation")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    model: str
    generation: Generation
    def __init__(self, model: _Optional[str] = ..., generation: _Optional[_Union[Generation, _Mapping]] = ...) -> None: ...

class PrepareRequest(_message.Message):
    __slots__ = ("image", "mask", "region", "trajectories", "prompt", "model", "mode", "hyper_parameters", "seed", "generation")
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    MASK_FIELD_NUMBER: _ClassVar[int]
    REGION_FIELD_NUMBER: _ClassVar[int]
    TRAJECTORIES_FIELD_NUMBER: _ClassVar[int]
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    HYPER_PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    image: BufferReference
    mask: BufferReference
    region: Rectangle
    trajectories: _containers.RepeatedCompositeFieldContainer[Trajectory]
    prompt: str
    model: str
    mode: Mode
    hyper_parameters: HyperParameters
    seed: int
    generation: Generation
    def __init__(self, image: _Optional[_Union[BufferReference, _Mapping]] = ..., mask: _Optional[_Union[BufferReference, _Mapping]] = ..., region: _Optional[_Union[Rectangle, _Mapping]] = ..., trajectories: _Optional[_Iterable[_Union[Trajectory, _Mapping]]] = ..., prompt: _Optional[str] = ..., model: _Optional[str] = ..., mode: _Optional[_Union[Mode, str]] = ..., hyper_parameters: _Optional[_Union[HyperParameters, _Mapping]] = ..., seed: _Optional[int] = ..., generation: _Optional[_Union[Generation, _Mapping]] = ...) -> None: ...

class DragRequest(_message.Message):
    __slots__ = ("preparation", "preview_every", "include_raw", "edit_id")
    PREPARATION_FIELD_NUMBER: _ClassVar[int]
    PREVIEW_EVERY_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_RAW_FIELD_NUMBER: _ClassVar[int]
    EDIT_ID_FIELD_NUMBER: _ClassVar[int]
    preparation: PrepareRequest
    preview_every: int
    include_raw: bool
    edit_id: str
    def __init__(self, preparation: _Optional[_Union[PrepareRequest, _Mapping]] = ..., preview_every: _Optional[int] = ..., include_raw: _Optional[bool] = ..., edit_id: _Optional[str] = ...) -> None: ...

class FinishDragRequest(_message.Message):
    __slots__ = ("edit_id",)
    EDIT_ID_FIELD_NUMBER: _ClassVar[int]
    edit_id: str
    def __init__(self, edit_id: _Optional[str] = ...) -> None: ...

class FinishDragResponse(_message.Message):
    __slots__ = ("running",)
    RUNNING_FIELD_NUMBER: _ClassVar[int]
    running: bool
    def __init__(self, running: _Optional[bool] = ...) -> None: ...

class Progress(_message.Message):
    __slots__ = ("stage", "fraction", "eta_seconds", "queue_position", "step", "steps")
    STAGE_FIELD_NUMBER: _ClassVar[int]
    FRACTION_FIELD_NUMBER: _ClassVar[int]
    ETA_SECONDS_FIELD_NUMBER: _ClassVar[int]
    QUEUE_POSITION_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    stage: Stage
    fraction: float
    eta_seconds: float
    queue_position: int
    step: int
    steps: int
    def __init__(self, stage: _Optional[_Union[Stage, str]] = ..., fraction: _Optional[float] = ..., eta_seconds: _Optional[float] = ..., queue_position: _Optional[int] = ..., step: _Optional[int] = ..., steps: _Optional[int] = ...) -> None: ...

class DragStep(_message.Message):
    __slots__ = ("step", "max_steps", "loss", "handles")
    STEP_FIELD_NUMBER: _ClassVar[int]
    MAX_STEPS_FIELD_NUMBER: _ClassVar[int]
    LOSS_FIELD_NUMBER: _ClassVar[int]
    HANDLES_FIELD_NUMBER: _ClassVar[int]
    step: int
    max_steps: int
    loss: float
    handles: _containers.RepeatedCompositeFieldContainer[Point]
    def __init__(self, step: _Optional[int] = ..., max_steps: _Optional[int] = ..., loss: _Optional[float] = ..., handles: _Optional[_Iterable[_Union[Point, _Mapping]]] = ...) -> None: ...

class PhaseSeconds(_message.Message):
    __slots__ = ("phase", "seconds")
    PHASE_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    phase: str
    seconds: float
    def __init__(self, phase: _Optional[str] = ..., seconds: _Optional[float] = ...) -> None: ...

class Run(_message.Message):
    __slots__ = ("device", "dtype", "model", "daemon_version", "torch_version", "diffusers_version", "phases", "peak_memory_bytes", "drag_steps", "prepared_before", "config_json", "taken_early", "memory_plan")
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    DAEMON_VERSION_FIELD_NUMBER: _ClassVar[int]
    TORCH_VERSION_FIELD_NUMBER: _ClassVar[int]
    DIFFUSERS_VERSION_FIELD_NUMBER: _ClassVar[int]
    PHASES_FIELD_NUMBER: _ClassVar[int]
    PEAK_MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    DRAG_STEPS_FIELD_NUMBER: _ClassVar[int]
    PREPARED_BEFORE_FIELD_NUMBER: _ClassVar[int]
    CONFIG_JSON_FIELD_NUMBER: _ClassVar[int]
    TAKEN_EARLY_FIELD_NUMBER: _ClassVar[int]
    MEMORY_PLAN_FIELD_NUMBER: _ClassVar[int]
    device: str
    dtype: str
    model: str
    daemon_version: str
    torch_version: str
    diffusers_version: str
    phases: _containers.RepeatedCompositeFieldContainer[PhaseSeconds]
    peak_memory_bytes: int
    drag_steps: int
    prepared_before: bool
    config_json: str
    taken_early: bool
    memory_plan: str
    def __init__(self, device: _Optional[str] = ..., dtype: _Optional[str] = ..., model: _Optional[str] = ..., daemon_version: _Optional[str] = ..., torch_version: _Optional[str] = ..., diffusers_version: _Optional[str] = ..., phases: _Optional[_Iterable[_Union[PhaseSeconds, _Mapping]]] = ..., peak_memory_bytes: _Optional[int] = ..., drag_steps: _Optional[int] = ..., prepared_before: _Optional[bool] = ..., config_json: _Optional[str] = ..., taken_early: _Optional[bool] = ..., memory_plan: _Optional[str] = ...) -> None: ...

class EditedImage(_message.Message):
    __slots__ = ("region", "pixels", "raw", "run")
    REGION_FIELD_NUMBER: _ClassVar[int]
    PIXELS_FIELD_NUMBER: _ClassVar[int]
    RAW_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    region: Rectangle
    pixels: BufferReference
    raw: BufferReference
    run: Run
    def __init__(self, region: _Optional[_Union[Rectangle, _Mapping]] = ..., pixels: _Optional[_Union[BufferReference, _Mapping]] = ..., raw: _Optional[_Union[BufferReference, _Mapping]] = ..., run: _Optional[_Union[Run, _Mapping]] = ...) -> None: ...

class Preview(_message.Message):
    __slots__ = ("region", "width", "height", "rgb")
    REGION_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    RGB_FIELD_NUMBER: _ClassVar[int]
    region: Rectangle
    width: int
    height: int
    rgb: bytes
    def __init__(self, region: _Optional[_Union[Rectangle, _Mapping]] = ..., width: _Optional[int] = ..., height: _Optional[int] = ..., rgb: _Optional[bytes] = ...) -> None: ...

class PixelChunk(_message.Message):
    __slots__ = ("chunk",)
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    chunk: bytes
    def __init__(self, chunk: _Optional[bytes] = ...) -> None: ...

class GenerateEvent(_message.Message):
    __slots__ = ("progress", "generated_image", "pixel_chunk")
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    GENERATED_IMAGE_FIELD_NUMBER: _ClassVar[int]
    PIXEL_CHUNK_FIELD_NUMBER: _ClassVar[int]
    progress: Progress
    generated_image: GeneratedImage
    pixel_chunk: PixelChunk
    def __init__(self, progress: _Optional[_Union[Progress, _Mapping]] = ..., generated_image: _Optional[_Union[GeneratedImage, _Mapping]] = ..., pixel_chunk: _Optional[_Union[PixelChunk, _Mapping]] = ...) -> None: ...

class GeneratedImage(_message.Message):
    __slots__ = ("pixels", "generation", "run")
    PIXELS_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    pixels: BufferReference
    generation: Generation
    run: Run
    def __init__(self, pixels: _Optional[_Union[BufferReference, _Mapping]] = ..., generation: _Optional[_Union[Generation, _Mapping]] = ..., run: _Optional[_Union[Run, _Mapping]] = ...) -> None: ...

class PrepareEvent(_message.Message):
    __slots__ = ("progress", "prepared")
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    PREPARED_FIELD_NUMBER: _ClassVar[int]
    progress: Progress
    prepared: Prepared
    def __init__(self, progress: _Optional[_Union[Progress, _Mapping]] = ..., prepared: _Optional[_Union[Prepared, _Mapping]] = ...) -> None: ...

class Prepared(_message.Message):
    __slots__ = ("region", "run")
    REGION_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    region: Rectangle
    run: Run
    def __init__(self, region: _Optional[_Union[Rectangle, _Mapping]] = ..., run: _Optional[_Union[Run, _Mapping]] = ...) -> None: ...

class DragEvent(_message.Message):
    __slots__ = ("progress", "drag_step", "preview", "edited_image", "pixel_chunk")
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    DRAG_STEP_FIELD_NUMBER: _ClassVar[int]
    PREVIEW_FIELD_NUMBER: _ClassVar[int]
    EDITED_IMAGE_FIELD_NUMBER: _ClassVar[int]
    PIXEL_CHUNK_FIELD_NUMBER: _ClassVar[int]
    progress: Progress
    drag_step: DragStep
    preview: Preview
    edited_image: EditedImage
    pixel_chunk: PixelChunk
    def __init__(self, progress: _Optional[_Union[Progress, _Mapping]] = ..., drag_step: _Optional[_Union[DragStep, _Mapping]] = ..., preview: _Optional[_Union[Preview, _Mapping]] = ..., edited_image: _Optional[_Union[EditedImage, _Mapping]] = ..., pixel_chunk: _Optional[_Union[PixelChunk, _Mapping]] = ...) -> None: ...

class GetStatusRequest(_message.Message):
    __slots__ = ("log_lines",)
    LOG_LINES_FIELD_NUMBER: _ClassVar[int]
    log_lines: int
    def __init__(self, log_lines: _Optional[int] = ...) -> None: ...

class GetStatusResponse(_message.Message):
    __slots__ = ("version", "device", "device_memory_bytes", "device_memory_free_bytes", "process_memory_bytes", "loaded_model", "queue_length", "prepared_images", "prepared_bytes", "log_file", "pid", "engine_ready", "dtype", "buffer_bytes", "idle_seconds", "store_folder", "store_bytes", "store_limit_bytes", "stored_images", "uptime_seconds", "log_lines", "memory_plan")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    DEVICE_MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    DEVICE_MEMORY_FREE_BYTES_FIELD_NUMBER: _ClassVar[int]
    PROCESS_MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    LOADED_MODEL_FIELD_NUMBER: _ClassVar[int]
    QUEUE_LENGTH_FIELD_NUMBER: _ClassVar[int]
    PREPARED_IMAGES_FIELD_NUMBER: _ClassVar[int]
    PREPARED_BYTES_FIELD_NUMBER: _ClassVar[int]
    LOG_FILE_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    ENGINE_READY_FIELD_NUMBER: _ClassVar[int]
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    BUFFER_BYTES_FIELD_NUMBER: _ClassVar[int]
    IDLE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    STORE_FOLDER_FIELD_NUMBER: _ClassVar[int]
    STORE_BYTES_FIELD_NUMBER: _ClassVar[int]
    STORE_LIMIT_BYTES_FIELD_NUMBER: _ClassVar[int]
    STORED_IMAGES_FIELD_NUMBER: _ClassVar[int]
    UPTIME_SECONDS_FIELD_NUMBER: _ClassVar[int]
    LOG_LINES_FIELD_NUMBER: _ClassVar[int]
    MEMORY_PLAN_FIELD_NUMBER: _ClassVar[int]
    version: str
    device: str
    device_memory_bytes: int
    device_memory_free_bytes: int
    process_memory_bytes: int
    loaded_model: str
    queue_length: int
    prepared_images: int
    prepared_bytes: int
    log_file: str
    pid: int
    engine_ready: bool
    dtype: str
    buffer_bytes: int
    idle_seconds: float
    store_folder: str
    store_bytes: int
    store_limit_bytes: int
    stored_images: int
    uptime_seconds: float
    log_lines: _containers.RepeatedScalarFieldContainer[str]
    memory_plan: str
    def __init__(self, version: _Optional[str] = ..., device: _Optional[str] = ..., device_memory_bytes: _Optional[int] = ..., device_memory_free_bytes: _Optional[int] = ..., process_memory_bytes: _Optional[int] = ..., loaded_model: _Optional[str] = ..., queue_length: _Optional[int] = ..., prepared_images: _Optional[int] = ..., prepared_bytes: _Optional[int] = ..., log_file: _Optional[str] = ..., pid: _Optional[int] = ..., engine_ready: _Optional[bool] = ..., dtype: _Optional[str] = ..., buffer_bytes: _Optional[int] = ..., idle_seconds: _Optional[float] = ..., store_folder: _Optional[str] = ..., store_bytes: _Optional[int] = ..., store_limit_bytes: _Optional[int] = ..., stored_images: _Optional[int] = ..., uptime_seconds: _Optional[float] = ..., log_lines: _Optional[_Iterable[str]] = ..., memory_plan: _Optional[str] = ...) -> None: ...

class DownloadModelRequest(_message.Message):
    __slots__ = ("name", "full")
    NAME_FIELD_NUMBER: _ClassVar[int]
    FULL_FIELD_NUMBER: _ClassVar[int]
    name: str
    full: bool
    def __init__(self, name: _Optional[str] = ..., full: _Optional[bool] = ...) -> None: ...

class DownloadModelEvent(_message.Message):
    __slots__ = ("file", "done_bytes", "total_bytes")
    FILE_FIELD_NUMBER: _ClassVar[int]
    DONE_BYTES_FIELD_NUMBER: _ClassVar[int]
    TOTAL_BYTES_FIELD_NUMBER: _ClassVar[int]
    file: str
    done_bytes: int
    total_bytes: int
    def __init__(self, file: _Optional[str] = ..., done_bytes: _Optional[int] = ..., total_bytes: _Optional[int] = ...) -> None: ...

class VerifyModelRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class VerifyModelEvent(_message.Message):
    __slots__ = ("file", "done_bytes", "total_bytes", "damaged_files")
    FILE_FIELD_NUMBER: _ClassVar[int]
    DONE_BYTES_FIELD_NUMBER: _ClassVar[int]
    TOTAL_BYTES_FIELD_NUMBER: _ClassVar[int]
    DAMAGED_FILES_FIELD_NUMBER: _ClassVar[int]
    file: str
    done_bytes: int
    total_bytes: int
    damaged_files: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, file: _Optional[str] = ..., done_bytes: _Optional[int] = ..., total_bytes: _Optional[int] = ..., damaged_files: _Optional[_Iterable[str]] = ...) -> None: ...

class RemoveModelRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class RemoveModelResponse(_message.Message):
    __slots__ = ("freed_bytes",)
    FREED_BYTES_FIELD_NUMBER: _ClassVar[int]
    freed_bytes: int
    def __init__(self, freed_bytes: _Optional[int] = ...) -> None: ...

class UnloadRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class UnloadResponse(_message.Message):
    __slots__ = ("unloaded",)
    UNLOADED_FIELD_NUMBER: _ClassVar[int]
    unloaded: bool
    def __init__(self, unloaded: _Optional[bool] = ...) -> None: ...

class ClearStoreRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ClearStoreResponse(_message.Message):
    __slots__ = ("removed_images", "removed_bytes", "left_images")
    REMOVED_IMAGES_FIELD_NUMBER: _ClassVar[int]
    REMOVED_BYTES_FIELD_NUMBER: _ClassVar[int]
    LEFT_IMAGES_FIELD_NUMBER: _ClassVar[int]
    removed_images: int
    removed_bytes: int
    left_images: int
    def __init__(self, removed_images: _Optional[int] = ..., removed_bytes: _Optional[int] = ..., left_images: _Optional[int] = ...) -> None: ...

class ShutdownRequest(_message.Message):
    __slots__ = ("only_if_idle",)
    ONLY_IF_IDLE_FIELD_NUMBER: _ClassVar[int]
    only_if_idle: bool
    def __init__(self, only_if_idle: _Optional[bool] = ...) -> None: ...

class ShutdownResponse(_message.Message):
    __slots__ = ("stopping",)
    STOPPING_FIELD_NUMBER: _ClassVar[int]
    stopping: bool
    def __init__(self, stopping: _Optional[bool] = ...) -> None: ...

class ListModelsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Model(_message.Message):
    __slots__ = ("name", "title", "available", "size_bytes", "family", "source", "download_bytes", "state", "purpose", "license", "here_bytes", "damaged_files", "can_remove", "can_verify")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    AVAILABLE_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    FAMILY_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    DOWNLOAD_BYTES_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    LICENSE_FIELD_NUMBER: _ClassVar[int]
    HERE_BYTES_FIELD_NUMBER: _ClassVar[int]
    DAMAGED_FILES_FIELD_NUMBER: _ClassVar[int]
    CAN_REMOVE_FIELD_NUMBER: _ClassVar[int]
    CAN_VERIFY_FIELD_NUMBER: _ClassVar[int]
    name: str
    title: str
    available: bool
    size_bytes: int
    family: str
    source: str
    download_bytes: int
    state: ModelState
    purpose: str
    license: str
    here_bytes: int
    damaged_files: _containers.RepeatedScalarFieldContainer[str]
    can_remove: bool
    can_verify: bool
    def __init__(self, name: _Optional[str] = ..., title: _Optional[str] = ..., available: _Optional[bool] = ..., size_bytes: _Optional[int] = ..., family: _Optional[str] = ..., source: _Optional[str] = ..., download_bytes: _Optional[int] = ..., state: _Optional[_Union[ModelState, str]] = ..., purpose: _Optional[str] = ..., license: _Optional[str] = ..., here_bytes: _Optional[int] = ..., damaged_files: _Optional[_Iterable[str]] = ..., can_remove: _Optional[bool] = ..., can_verify: _Optional[bool] = ...) -> None: ...

class ListModelsResponse(_message.Message):
    __slots__ = ("models", "default_model", "folder", "free_bytes")
    MODELS_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_MODEL_FIELD_NUMBER: _ClassVar[int]
    FOLDER_FIELD_NUMBER: _ClassVar[int]
    FREE_BYTES_FIELD_NUMBER: _ClassVar[int]
    models: _containers.RepeatedCompositeFieldContainer[Model]
    default_model: str
    folder: str
    free_bytes: int
    def __init__(self, models: _Optional[_Iterable[_Union[Model, _Mapping]]] = ..., default_model: _Optional[str] = ..., folder: _Optional[str] = ..., free_bytes: _Optional[int] = ...) -> None: ...
