"""The faults that the product must survive: the expected outcome, and the tests of each."""

from dataclasses import dataclass

_DATA = "tests/app/engine/data"
_TRAINING = "tests/app/engine/training"
_STORE = "tests/app/engine/checkpoint/test_store.py"
_START = "tests/app/test_start.py"
_REAL = "tests/faults/test_real_runs.py"
_TRAIN = f"{_TRAINING}/test_train.py"
_STEP = f"{_TRAINING}/update/test_step.py"
_RANKS = f"{_TRAINING}/process/test_launch.py"
_ATOMIC = "tests/executor/test_output_files.py"
_FILES = "tests/common/test_files.py"
_CONFIG = "tests/executor/test_hyperparameters.py"
_YAML = "tests/common/test_limited_yaml.py"
_READER = "tests/executor/test_dataset_reader.py"
_RESULT = "tests/executor/test_result_writer.py"
_STAGES = "tests/executor/test_model_stages.py"
_HOSTILE = "tests/faults/test_hostile_files.py"
_FUZZ = "tests/fuzz/test_parsers.py"
_IMAGE = "tests/image/test_tasks.py"
_STORAGE = "tests/faults/test_storage.py"
_UNREADABLE = "tests/app/tasks/test_unreadable.py"
_TROUBLES = "tests/app/tasks/test_training_troubles.py"
_VALIDATION = f"{_TRAINING}/validation/test_validator.py"
_RESUME = f"{_TRAINING}/state/test_resume.py"


@dataclass(frozen=True)
class Fault:
    """One row: `tests` are pytest node ids (a file, or file::function)."""

    name: str
    expected: str
    tests: tuple[str, ...] = ()


GROUPS: dict[str, tuple[Fault, ...]] = {
    "Process and host": (
        Fault(
            "training killed (SIGKILL) at any instant",
            "at most one checkpoint interval is done again; stages stay; the resumed run ends with"
            " bit-equal weights",
            (f"{_TRAIN}::test_killed_at_random_instants_equals_uninterrupted", _STAGES),
        ),
        Fault(
            "mining or infer killed",
            "finished images are not looked at again, results are the same bytes",
            (
                "tests/app/tasks/test_resumption.py",
                "tests/executor/test_journal.py",
                "tests/executor/test_shard_file.py",
            ),
        ),
        Fault(
            "supervisor killed",
            "everything it started dies within a second, files are valid, the lock is free",
            (
                f"{_REAL}::test_everybody_dies_with_the_supervisor",
                f"{_START}::test_the_task_dies_with_the_supervisor",
                f"{_DATA}/loading/test_loader.py::test_workers_die_with_a_killed_parent",
            ),
        ),
        Fault(
            "SIGTERM in a training",
            "checkpoint, a stage with the current weights if there is no better one, status 143"
            " within 10 s",
            (
                f"{_REAL}::test_a_stopped_training_leaves_a_model",
                f"{_TRAIN}::test_stopped_and_resumed_equals_uninterrupted",
                f"{_START}::test_stop_lets_the_task_save",
            ),
        ),
        Fault(
            "SIGTERM in an evaluation",
            "the evaluation is abandoned and made again after the restart",
            (f"{_TRAIN}::test_stopped_in_an_evaluation_makes_it_again",),
        ),
        Fault(
            "a task that does not hear SIGTERM",
            "killed after the grace time, status 143",
            (f"{_START}::test_a_deaf_task_is_killed_after_the_grace_time",),
        ),
        Fault(
            "second SIGTERM",
            "the run ends at once, files are valid",
            (
                f"{_REAL}::test_two_signals_end_the_run_at_once",
                f"{_START}::test_a_second_signal_does_not_wait",
            ),
        ),
        Fault(
            "SIGTERM to every process",
            "readers ignore it, the task saves as if only the first process had got it",
            (
                f"{_REAL}::test_a_stopped_training_leaves_a_model",
                f"{_DATA}/loading/test_loader.py::test_workers_ignore_signals_for_the_group_and_end_with_the_pool",
            ),
        ),
        Fault(
            "frozen (SIGSTOP, SIGCONT)",
            "goes on",
            (f"{_REAL}::test_a_dead_reader_and_a_frozen_run_cost_nothing",),
        ),
        Fault(
            "reader process dies, or an image kills it",
            "goes on with fewer readers, without the image that kills",
            (
                f"{_DATA}/loading/test_loader.py::test_dead_worker_is_survived",
                f"{_DATA}/loading/test_loader.py::test_image_that_kills_workers_is_banned_and_never_read_by_the_parent",
                "tests/app/engine/predictor/test_reading.py",
                f"{_REAL}::test_a_dead_reader_and_a_frozen_run_cost_nothing",
            ),
        ),
        Fault(
            "shared memory too small",
            "not used at all",
            (
                f"{_REAL}::test_a_dead_reader_and_a_frozen_run_cost_nothing",
                f"{_IMAGE}::test_shared_memory_is_not_needed",
            ),
        ),
        Fault(
            "memory of the host runs out",
            "batch in smaller parts where a request fails; 300103, status 6 where that is no help"
            " or the task is killed",
            (
                f"{_REAL}::test_the_task_dies",
                f"{_STEP}::test_lack_of_the_hosts_memory_counts_too",
                f"{_VALIDATION}::test_memory_that_the_system_refuses_halves_the_batch",
                "tests/app/engine/test_errors.py::test_want_of_memory",
                f"{_DATA}/loading/test_loader.py::test_a_worker_that_lacks_memory_says_so",
                "tests/app/tasks/test_failures.py",
                f"{_IMAGE}::test_too_little_memory_is_told_as_such",
            ),
        ),
        Fault(
            "memory of the GPU runs out in training (also taken by another program)",
            "the batch in 2, 4, 8, 16 parts with the same result, then 300103",
            (
                f"{_STEP}::test_lack_of_memory_halves_the_parts_and_stays_so",
                f"{_STEP}::test_lack_of_memory_for_one_image_is_an_error",
            ),
        ),
        Fault(
            "memory of the GPU runs out in evaluation, infer or mining",
            "half the batch, down to one image, which then is reported",
            (
                "tests/app/engine/predictor/test_predictor.py::test_memory_that_runs_out_halves_the_batch",
                "tests/app/engine/predictor/test_predictor.py::test_an_image_too_large_for_memory_is_reported",
                "tests/app/engine/evaluation/test_inference.py::test_lack_of_memory_halves_the_batch",
            ),
        ),
        Fault(
            "memory is too small for an image alone, in infer or mining",
            "no result, told, looked at again by the next run; 300103 where none fits",
            (
                f"{_UNREADABLE}::test_images_too_large_for_memory_are_told_and_looked_at_again",
                f"{_UNREADABLE}::test_where_no_image_fits_memory_is_at_fault",
                "tests/app/engine/export/test_onnx_export.py::test_an_image_that_memory_is_too_small_for_costs_only_itself",
                f"{_DATA}/images/test_reading.py::test_an_image_that_memory_is_too_small_for_is_not_called_damaged",
            ),
        ),
        Fault(
            "memory runs out in an evaluation or export of a training",
            "the training goes on and its model is kept; 300103 at the end; the next run makes up",
            (
                f"{_TROUBLES}::test_want_of_memory_beside_the_training_ends_it_as_such",
                f"{_VALIDATION}::test_want_of_memory_in_an_evaluation_costs_only_that",
            ),
        ),
        Fault(
            "GPU missing or too old",
            "300102 or 300101, status 5; an empty gpu_id is the CPU",
            ("tests/app/tasks/test_devices.py",),
        ),
        Fault(
            "a process of several hangs in an exchange, crashes or is killed",
            "all end; start again from the checkpoint, up to 4 times; then status 75 with the"
            " reason",
            (
                f"{_RANKS}::test_one_failing_process_ends_all",
                f"{_RANKS}::test_lost_process_is_replaced_from_the_checkpoint",
                f"{_RANKS}::test_no_process_is_left_behind",
                "tests/app/tasks/test_failures.py",
            ),
        ),
        Fault("a machine or the network between machines is lost", "a run uses one machine"),
        Fault(
            "clock set back or forth",
            "durations do not care, records of monitor.txt still differ",
            ("tests/executor/test_monitor.py::test_fractions_rise_and_times_change",),
        ),
        Fault(
            "storage stalls",
            "told in log and monitor.txt, with the stacks of all threads",
            (
                f"{_START}::test_silence_is_told_and_stacks_are_dumped",
                "tests/app/tasks/test_main.py",
            ),
        ),
        Fault(
            "two runs on one /out",
            "the second ends with status 8 and names the first; a dead run's lock is free",
            (
                f"{_START}::test_two_runs_on_one_folder",
                "tests/executor/test_output_lock.py",
                f"{_IMAGE}::test_a_second_run_into_the_same_out_is_refused",
            ),
        ),
        Fault(
            "disk full at any write",
            "nothing torn, the older checkpoint goes first, then status 8",
            (
                f"{_ATOMIC}::test_the_nth_call_fails",
                f"{_ATOMIC}::test_a_really_full_disk",
                f"{_STORE}::test_a_full_disk_costs_the_older_file_only",
                f"{_TRAIN}::test_full_disk_costs_the_checkpoint_not_the_run",
                _FILES,
                f"{_IMAGE}::test_a_full_out_ends_with_a_reason",
            ),
        ),
        Fault(
            "disk broken or read-only in the middle of a run",
            "the same",
            (f"{_ATOMIC}::test_the_nth_call_fails", "tests/app/tasks/test_failures.py"),
        ),
        Fault(
            "/out missing or not writable; no home, no name, any user",
            "folders are made; else status 8 within seconds",
            (
                f"{_START}::test_an_output_folder_that_cannot_be_written",
                "tests/app/test_task_process.py::test_the_homeless_get_a_home",
                f"{_IMAGE}::test_missing_folders_are_named",
            ),
        ),
        Fault(
            "read-only root, no network, no privileges",
            "a full run passes",
            (f"{_IMAGE}::test_the_default_command_with_nothing_but_in_and_out",),
        ),
        Fault(
            "few processors, processes or little memory",
            "threads and readers follow the limits of the container, said in the log",
            (
                "tests/common/test_host_limits.py",
                "tests/app/tasks/test_workers.py",
                f"{_DATA}/loading/test_loader.py::test_fewer_processes_than_asked_for_is_no_error",
            ),
        ),
        Fault(
            "crash in our code or below it",
            "status 70, the reason as last line, stacks above it",
            (f"{_START}::test_failures", f"{_REAL}::test_the_task_dies"),
        ),
    ),
    "Storage": (
        Fault(
            "infer, mining: images missing, closed, stale, or their server dead or silent",
            "counted apart with the system's words; listed without boxes or ranked last; looked at"
            " again by the next run, whose results are the same bytes as if nothing had been",
            (
                f"{_DATA}/images/test_reading.py::test_what_the_storage_refuses_is_told_apart",
                f"{_UNREADABLE}::test_a_lost_image_is_told_and_looked_at_again",
                f"{_UNREADABLE}::test_only_the_group_of_a_lost_image_is_looked_at_again",
                f"{_UNREADABLE}::test_images_lost_before_a_stop_are_looked_at_after_it",
                f"{_UNREADABLE}::test_the_systems_words_are_told",
                "tests/app/tasks/test_finder.py",
            ),
        ),
        Fault(
            "infer, mining: a mount that is wrong or goes (all, more than 5 % of at least 20, or 50"
            " in a row)",
            "300003, status 3, naming the folder; what is finished is kept",
            (
                f"{_UNREADABLE}::test_when_a_task_must_end",
                f"{_UNREADABLE}::test_too_many_lost_images_end_the_task",
                f"{_UNREADABLE}::test_a_mount_that_goes_and_comes_back",
            ),
        ),
        Fault(
            "infer, mining: content that no decoder takes, pipes, folders, devices",
            "without boxes or last, counted, warned once; status 3 where not one can be read",
            (
                f"{_UNREADABLE}::test_no_image_that_can_be_read",
                f"{_UNREADABLE}::test_unreadable_images_do_not_end_a_task_however_many",
                f"{_UNREADABLE}::test_what_is_no_file_is_an_unreadable_image",
                "tests/faults/test_images.py",
            ),
        ),
        Fault(
            "training, evaluation: a mount that goes while they run",
            "300002, status 3 at more than 5 % of a pass or 50 in a row, naming the folder; goes on"
            " from the checkpoint",
            (
                f"{_DATA}/loading/test_loader.py::test_a_mount_that_goes_ends_training",
                f"{_DATA}/loading/test_loader.py::test_no_readable_image_ends_training",
                f"{_DATA}/loading/test_loader.py::test_evaluation_ends_when_a_mount_goes",
                f"{_DATA}/loading/test_loader.py::test_images_lost_for_a_moment_now_and_then_do_not_end_training",
                f"{_STORAGE}::test_a_training_whose_images_go_ends_and_goes_on",
            ),
        ),
        Fault(
            "no modes, hard links, flushing of files or folders (SMB, Azure Files)",
            "done without; costs neither checkpoint nor model",
            (
                f"{_STORAGE}::test_files_are_written_without",
                f"{_STORAGE}::test_a_training",
                f"{_STORAGE}::test_infer",
                f"{_STORAGE}::test_a_supervised_run",
            ),
        ),
        Fault(
            "a flush that says that data is lost",
            "the old file stays; status 8",
            (f"{_STORAGE}::test_what_means_lost_data_is_an_error",),
        ),
        Fault(
            "no renaming, no changes in place, no appending (object stores)",
            "written in place, the journal in /tmp, numbers in the log only; each said once",
            (
                f"{_STORAGE}::test_files_are_written_without",
                f"{_STORAGE}::test_a_copy_in_place_leaves_the_file_that_shares_its_content",
                f"{_STORAGE}::test_a_failed_write_in_place_leaves_no_half",
                f"{_STORAGE}::test_a_file_that_is_a_mount_itself_is_written_in_place",
                f"{_STORAGE}::test_a_journal_that_cannot_be_changed_lies_elsewhere",
                f"{_STORAGE}::test_numbers_that_cannot_be_appended_are_only_logged",
                f"{_STORAGE}::test_a_training",
                f"{_STORAGE}::test_infer",
            ),
        ),
        Fault(
            "no overwriting either",
            "infer and mining do without a progress; a training is refused at once, status 8",
            (f"{_STORAGE}::test_a_training_that_could_not_renew_its_results_is_refused_at_once",),
        ),
        Fault(
            "no locks",
            "said; one run at a time is up to the user",
            (
                f"{_STORAGE}::test_a_mount_without_locks_is_told_and_used",
                f"{_STORAGE}::test_a_lock_that_another_run_holds",
            ),
        ),
        Fault(
            "monitor.txt cannot be written (stale, dead, silent, read-only, closed, broken, full)",
            "a warning, once; tried again with each record, the last one three times",
            (
                f"{_STORAGE}::test_a_record_that_cannot_be_written_raises_nothing",
                f"{_STORAGE}::test_a_monitor_file_that_cannot_be_written_costs_only_itself",
                f"{_STORAGE}::test_the_records_come_back_with_the_storage",
                "tests/executor/test_monitor.py::test_the_last_record_is_tried_again",
            ),
        ),
        Fault(
            "/out takes no new file",
            "status 8 within seconds, with the system's words",
            (f"{_STORAGE}::test_a_folder_that_takes_no_file_is_told_at_once",),
        ),
        Fault(
            "checkpoints or stages that the storage does not give at a restart",
            "status 8 rather than a new start over them",
            (
                f"{_STORAGE}::test_checkpoints_out_of_reach_are_no_reason_to_start_over",
                f"{_STORAGE}::test_stages_out_of_reach_are_not_forgotten",
            ),
        ),
    ),
    "Configuration": (
        Fault(
            "YAML: syntax, encodings, NUL, size, aliases, depth", "300001, place named", (_YAML,)
        ),
        Fault(
            "duplicate, unknown or misspelt key",
            "300001 with a suggestion, or a warning",
            (
                f"{_YAML}::test_what_is_refused_says_where",
                f"{_CONFIG}::test_keys_of_no_effect",
                f"{_START}::test_every_wrong_key_is_named",
            ),
        ),
        Fault("text for numbers and switches", "understood", (f"{_CONFIG}::test_coercion",)),
        Fault(
            "odd class names, duplicates, none",
            "kept as written, or 300001",
            (
                f"{_CONFIG}::test_class_names_are_kept_as_written",
                f"{_CONFIG}::test_wrong_class_names",
            ),
        ),
        Fault("NaN, infinite, negative, huge", "300001", (f"{_CONFIG}::test_wrong_values",)),
        Fault(
            "env.yaml missing, partial, other dialect",
            "defaults, or 300001",
            ("tests/executor/test_env.py", f"{_START}::test_an_env_file_that_tells_nothing"),
        ),
        Fault(
            "paths that lead out",
            "refused",
            (
                "tests/app/engine/trained/test_model_files.py::test_listed_path_must_not_lead_out",
                "tests/app/tasks/test_engine_config.py::test_wrong_config_file",
                f"{_STORE}::test_a_manifest_cannot_lead_elsewhere",
                f"{_HOSTILE}::test_links_in_a_models_folder_do_not_lead_out",
            ),
        ),
        Fault(
            "names as parts of files and log lines",
            "made harmless",
            (
                f"{_STAGES}::test_stage_names",
                "tests/executor/test_monitor.py::test_one_line",
                f"{_DATA}/images/test_reading.py::test_names_of_files_cannot_forge_log_lines",
            ),
        ),
    ),
    "Data set": (
        Fault(
            "empty training list",
            "300002",
            ("tests/app/tasks/test_whole_runs.py::test_empty_training_index",),
        ),
        Fault(
            "empty validation list",
            "trains without evaluation, mAP 0, said",
            (f"{_READER}::test_validation_may_be_empty",),
        ),
        Fault(
            "no candidates",
            "complete, empty results",
            ("tests/app/tasks/test_whole_runs.py::test_no_candidates_is_a_complete_result",),
        ),
        Fault(
            "no objects at all, or none of a class",
            "300002, or a warning",
            (
                f"{_READER}::test_training_needs_images",
                f"{_READER}::test_training_images_without_annotation_are_told",
            ),
        ),
        Fault(
            "missing, empty, folders, pipes, devices instead of images",
            "training leaves up to 5 % out, infer lists them empty, mining last",
            (
                f"{_DATA}/images/test_reading.py::test_what_is_no_file_is_refused_without_waiting",
                f"{_DATA}/images/test_reading.py::test_no_picture_is_a_typed_error",
                f"{_DATA}/loading/test_loader.py::test_unreadable_image_is_replaced_and_counted",
                f"{_DATA}/loading/test_loader.py::test_no_readable_image_ends_training",
                "tests/app/tasks/test_whole_runs.py::test_every_mining_algorithm_ranks_every_candidate",
            ),
        ),
        Fault(
            "truncated or damaged images, bombs",
            "a typed error before memory is taken",
            (
                f"{_DATA}/images/test_reading.py::test_cut_jpeg",
                f"{_DATA}/images/test_reading.py::test_bomb_is_refused_by_its_header",
                f"{_DATA}/images/test_reading.py::test_random_bytes_inside_never_escape_the_typed_error",
                f"{_HOSTILE}::test_picture",
            ),
        ),
        Fault(
            "images whose damage shows only when they are decoded",
            "training: others in their place, counted to the end, more than 5 % are 300002;"
            " evaluation: over how many images is said, none is no mAP",
            (
                f"{_VALIDATION}::test_how_many_training_images_may_be_damaged",
                f"{_VALIDATION}::test_damaged_images_are_told_at_the_end_also_after_a_restart",
                f"{_TROUBLES}::test_training_images_that_cannot_be_decoded",
                f"{_TROUBLES}::test_validation_images_that_cannot_be_decoded",
            ),
        ),
        Fault(
            "files of other kinds: HEIC, RAW, videos, archives, pages, pointers",
            "named, with what to do",
            (
                f"{_DATA}/images/test_kinds.py",
                f"{_DATA}/images/test_reading.py::test_no_picture_is_a_typed_error",
            ),
        ),
        Fault(
            "cut copies, with a good header or with zeros for the rest",
            "found when a set is read; count for its 5 %",
            (
                f"{_DATA}/images/test_reading.py::test_a_file_that_ends_too_early_is_found_by_its_end",
                f"{_DATA}/images/test_reading.py::test_zeros_in_place_of_the_rest_are_no_picture",
                f"{_DATA}/images/test_reading.py::test_what_lies_behind_a_picture_does_no_harm",
            ),
        ),
        Fault(
            "more than 8 bits of which few are used; floats; values beyond white",
            "decided on the training set, said, kept with the model",
            (
                f"{_DATA}/images/test_depth.py",
                f"{_DATA}/images/test_depth_of_set.py",
                "tests/app/engine/predictor/test_reading.py::test_what_is_odd_about_depth_is_told_once",
                "tests/app/tasks/test_whole_runs.py"
                "::test_the_depth_of_the_training_images_is_that_of_the_model",
            ),
        ),
        Fault(
            "orientation; 16 bits, grey, palette, CMYK, float, animated",
            "a defined picture",
            (
                f"{_DATA}/images/test_reading.py::test_orientation_applies_to_pixels_and_size",
                f"{_DATA}/images/test_reading.py::test_modes_become_rgb",
                f"{_DATA}/images/test_reading.py::test_animation_gives_its_first_frame",
            ),
        ),
        Fault(
            "wrong boxes, classes and annotation files of every format",
            "clipped or left out, counted, said",
            (f"{_DATA}/formats", f"{_HOSTILE}::test_xml"),
        ),
        Fault(
            "duplicates, equal base names, images in both lists",
            "once; said",
            (
                "tests/executor/test_candidates.py",
                f"{_RESULT}::test_equal_base_names_and_odd_bytes",
                f"{_DATA}/smells/test_smells.py::test_validation_images_among_training_images",
            ),
        ),
        Fault(
            "names with spaces, tabs, CRLF, unicode, bytes that are no text",
            "kept byte by byte",
            (f"{_READER}::test_lines", f"{_READER}::test_bytes_that_are_no_text_survive"),
        ),
        Fault(
            "hostile archives, pickles, tags, entities",
            "refused, nothing is run",
            (_HOSTILE, "tests/app/engine/test_pickles.py"),
        ),
        Fault(
            "models that are damaged, not finite, of another kind or number of classes",
            "300004 in every task, naming file and weight; told before data is read",
            (
                "tests/faults/test_checkpoints.py::test_unfit_models_end_every_task_with_status_4",
                "tests/app/engine/checkpoint/test_kinds.py",
                "tests/app/engine/checkpoint/test_fit.py",
                "tests/app/tasks/test_start_weights.py",
            ),
        ),
        Fault(
            "no network for weights: address, names, proxy, TLS, a page to sign in, half a file",
            "300301 within 10 s, naming what a platform's user can do; nothing is kept",
            (
                "tests/app/engine/checkpoint/test_weights.py",
                "tests/app/tasks/test_start_weights.py",
            ),
        ),
        Fault("mutations of every file that is read", "a value or one of our errors", (_FUZZ,)),
    ),
    "Training": (
        Fault(
            "loss or weights become NaN",
            "back to the last checkpoint with half the learning rate, twice; then 300201; such"
            " weights are never saved",
            (
                f"{_TRAIN}::test_divergence_goes_back_with_half_the_learning_rate",
                f"{_TRAIN}::test_lasting_divergence_is_an_error_in_detectron2s_words",
                f"{_TRAIN}::test_weights_that_are_not_finite_are_never_saved",
                f"{_RESUME}::test_a_final_model_that_gives_no_numbers_is_not_kept",
            ),
        ),
        Fault(
            "loss finite, but beyond all sense",
            "as above; the final model becomes no stage; a checkpoint of it is removed",
            (
                f"{_TRAINING}/state/test_divergence.py",
                f"{_RESUME}::test_weights_of_a_lost_run_are_not_gone_on_with",
                f"{_RESUME}::test_a_run_that_ends_early_is_looked_at_as_well",
            ),
        ),
        Fault(
            "a lower learning rate after a divergence, same /out",
            "goes on at that rate, with two returns anew",
            (
                f"{_RESUME}::test_a_lower_rate_helps_a_run_that_has_diverged",
                f"{_RESUME}::test_after_another_try_there_are_two_returns_again",
                f"{_TROUBLES}::test_the_advice_after_a_divergence_helps",
            ),
        ),
        Fault(
            "metric without value",
            "0 in result.yaml, said in the log",
            (
                f"{_TRAIN}::test_metric_without_value_is_said",
                f"{_STAGES}::test_metrics_that_the_platform_would_refuse",
            ),
        ),
        Fault(
            "evaluation or TensorBoard fails",
            "a warning; training goes on",
            (
                f"{_TRAIN}::test_failing_evaluation_is_a_warning",
                f"{_TRAINING}/reporting/test_log.py::test_a_full_disk_is_reported_once_and_survived",
            ),
        ),
        Fault(
            "same seed twice, other numbers of readers",
            "bit-equal weights on the CPU",
            (f"{_TRAIN}::test_same_seed_same_weights_whatever_the_number_of_workers",),
        ),
        Fault(
            "resumed with another batch, number of processes or length",
            "goes on where it was, said",
            (
                f"{_TRAIN}::test_resume_with_another_batch_size_goes_on_in_the_data",
                f"{_TRAIN}::test_resume_with_fewer_processes",
                f"{_TRAIN}::test_finished_run_started_again_only_reports",
            ),
        ),
        Fault(
            "resumed with other settings, labels, classes, model or seed",
            "used from there on, or not taken, said; 300004 where it would be another model",
            (
                f"{_RESUME}::test_a_changed_setting_is_used_told_and_stored",
                f"{_RESUME}::test_the_seed_stays_that_of_the_beginning",
                f"{_RESUME}::test_what_makes_another_model_is_refused",
                f"{_RESUME}::test_another_training_set_is_told",
                f"{_RESUME}::test_a_model_that_was_measured_otherwise_is_no_rival",
            ),
        ),
        Fault(
            "checkpoint cut or flipped at 200 places, newer, of another model",
            "the one before, or 300004",
            (
                "tests/faults/test_checkpoints.py"
                "::test_damage_at_two_hundred_places_gives_the_checkpoint_before",
                _STORE,
                f"{_TRAIN}::test_checkpoint_of_another_model_is_refused",
            ),
        ),
        Fault(
            "one image, a batch larger than the data",
            "works",
            (f"{_TRAIN}::test_one_image_and_a_larger_batch",),
        ),
        Fault(
            "early end (patience)",
            "a success with the best model",
            (f"{_TRAIN}::test_patience_ends_the_run_early",),
        ),
    ),
    "Results": (
        Fault(
            "readers poll while files are written",
            "never half a file",
            (
                "tests/executor/test_monitor.py::test_readers_never_see_half_a_record",
                f"{_FILES}::test_kills_tear_nothing",
                f"{_STAGES}::test_kills_leave_a_valid_result",
            ),
        ),
        Fault(
            "progress",
            "rises from 0 to 1, a new record at least every 5 s",
            (
                f"{_START}::test_progress_is_relayed_and_never_falls",
                "tests/client/test_platform_client.py::test_monitor_records_are_whole_and_never_fall",
            ),
        ),
        Fault(
            "boxes and scores that are not finite, outside, or too small",
            "integers inside the image, every image listed",
            (f"{_RESULT}::test_integer_boxes_lie_inside", f"{_RESULT}::test_infer_result"),
        ),
        Fault(
            "mining scores that are not finite",
            "last; each candidate once",
            (f"{_RESULT}::test_small_mining_results",),
        ),
        Fault(
            "long lists",
            "streamed, flat memory",
            (
                f"{_RESULT}::test_memory_does_not_grow_with_the_images",
                "tests/verification/test_growth.py",
            ),
        ),
        Fault(
            "several processes",
            "one writes",
            (f"{_RANKS}::test_training_with_two_processes_stopped_and_resumed",),
        ),
    ),
}
