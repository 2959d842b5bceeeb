# The stages as file targets, tied by what they write. Content decides, not times: RUN/inputs/*.json change only when the
# settings or the bytes of the frames do, and every stage depends on its own.

CONFIG  ?= pipelines/configs/toyworld.toml
DATA    ?= data
# Quiet where there is no such file: what is wrong with a config is the command's to say. What it includes is looked at, too,
# three files deep. Each file comes before what it includes, the last of that first: of two that say something, the first counts.
INCLUDED = $(addprefix $(dir $(1)),$(shell grep -sv '^[[:space:]]*[#]' $(1) \
  | grep -oE "[\"'][^\"']*[.]toml[\"']" | tr -d "\"'" | sed -n '1!G;h;$$p'))
# A space parts one name from the next, for make and for the shell: there ? stands for it, and in commands it is escaped.
SPACE   := $() $()
LOOKED   = $(subst $(SPACE),?,$(CONFIG))
ESCAPED  = $(subst $(SPACE),\ ,$(1))
DEEP_1   = $(1) $(call INCLUDED,$(1))
DEEP_2   = $(1) $(foreach part,$(call INCLUDED,$(1)),$(call DEEP_1,$(part)))
CONFIGS  = $(LOOKED) $(foreach part,$(call INCLUDED,$(LOOKED)),$(call DEEP_2,$(part)))
NAME_IS  = ^[^[:alnum:][:punct:]]*["'\'']\{0,1\}name[^[:alnum:]=]*=
NAME    ?= $(shell LC_ALL=C sed -n '/$(NAME_IS)/{s/$(NAME_IS)[^a-z0-9_]*\([a-z0-9_]*\).*/\1/p;q;}' $(CONFIGS) 2>/dev/null)
RUN     ?= runs/$(NAME)
ifneq ($(word 2,$(RUN)),)
$(error RUN is "$(RUN)", of which make would take the words for files of their own: choose a folder without a space in its path)
endif
# Of `translate`, `student` and `train-seg`. `eval` compares all seeds of the config (compare.seeds) and has this one trained
# before: give one of those where 0 is not among them.
SEED    ?= 0
PYTHON  ?= python3.11
VENV    ?= .venv
# Settings to change, such as SET='translator.steps=2000 segmenter.batch=4', and options of the machine and the moment.
SET     ?=
ARGS    ?=
# Not empty: `make translate` trains the light student of the config's [student] on the translator's frames.
STUDENT ?=

SIM2REAL   = $(VENV)/bin/sim2real
EXPERIMENT = $(call ESCAPED,$(CONFIG)) --data $(call ESCAPED,$(DATA)) --run $(RUN) $(foreach setting,$(SET),--set $(setting))
TRANSLATOR = $(RUN)/seed-$(SEED)/translator/final.json
TRANSLATED = $(RUN)/seed-$(SEED)/translated/manifest.jsonl
SEGMENTER  = $(RUN)/seed-$(SEED)/translated_net/final.json
REPORT     = $(RUN)/report.html

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo test test-pipelines test-others test-runtimes test-chaos translate student train-seg eval recipe check lint clean FORCE

help: ## print the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "  for any experiment: make eval CONFIG=pipelines/configs/carla_to_camvid.toml DATA=/data"

setup: $(VENV)/installed ## create the environment (done by every other target)

# Compiling all of the packages to byte code takes 35 s of CPU time; what a command imports, which Python compiles then, 8.
# pip is not quiet: several GB are fetched, and whoever waits for them wants to see that they come.
$(VENV)/installed: setup.cfg pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "error: there is no $(PYTHON) here. Install Python 3.11," \
		"or say where it is: make setup PYTHON=/path/to/python3.11" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --disable-pip-version-check --no-compile -e '.[dev]'
	touch $@

demo: $(VENV)/installed ## the main job on toy world: translate, train, evaluate, report (14 minutes of CPU time, on 2 cores)
	$(SIM2REAL) compare pipelines/configs/toyworld.toml --run runs/demo --restart $(ARGS)

translate: $(if $(STUDENT),student,$(TRANSLATED)) ## train the translator, translate the labelled source frames; STUDENT=1: a light student, too
	@echo "translated frames: $(dir $(if $(STUDENT),$(RUN)/student/seed-$(SEED)/translated/,$(TRANSLATED)))"

# What is trained and translated is found by the command itself.
student: $(TRANSLATED) ## train a light, real-time student on the translated frames, compare it with its teacher
	$(SIM2REAL) translate distill $(EXPERIMENT) --seed $(SEED) --restart $(ARGS)

train-seg: $(SEGMENTER) ## train the segmenter on the translated frames
	@echo "segmenter: $(dir $(SEGMENTER))"

eval: $(REPORT) ## train what is missing, evaluate source-only, translated, oracle; write the report
	@echo "report: $(REPORT)"

# Scored on the frames of [[test]], by which nothing was chosen, where the config has some.
TEST_IS = ^[[:space:]]*(\[\[[[:space:]]*test[[:space:]]*\]\]|test[[:space:]]*=)
ifneq ($(origin CONFIG),environment)
recipe: CONFIG = pipelines/configs/best_unsupervised.toml
endif
recipe: $(VENV)/installed ## the way that closed most of the gap, from CONFIG (best_unsupervised, best_20_labels), scored on test frames
	$(SIM2REAL) variants $(EXPERIMENT) $(if $(shell grep -sE '$(TEST_IS)' $(CONFIGS)),--test) $(ARGS)

check: $(VENV)/installed ## read every frame of the experiment, say what is wrong
	$(SIM2REAL) data check $(EXPERIMENT)

test: $(VENV)/installed ## run the tests, in two processes at a time
	@$(MAKE) --no-print-directory --jobs=2 test-pipelines test-others test-runtimes

# One thread each: on two cores, threads that wait for each other's make the tests take twice as long.
test-pipelines test-others test-runtimes test-chaos: export OMP_NUM_THREADS = 1
# Byte code is kept also where the environment says not to, as in images of containers: without any, each process that a
# test starts compiles torch's source anew, which takes longer than its import.
test-pipelines test-others test-runtimes test-chaos: export PYTHONDONTWRITEBYTECODE =

# Of tests/pipelines so many are the others' that both halves take about as long; whichever is done first has the runtimes.
OTHERS := $(addprefix tests/pipelines/,batch_inference experiment pretrained report)

test-pipelines: $(VENV)/installed ## ... those of files, stages and commands
	$(VENV)/bin/python -m pytest -m "not runtimes" $(addprefix --ignore=,$(OTHERS)) tests/pipelines tests/test_layers.py tests/test_makefile.py tests/test_packaging.py

test-others: $(VENV)/installed ## ... those of networks, losses, methods, batch translation, imports, hostile input and benchmarks
	$(VENV)/bin/python -m pytest -m "not runtimes" tests/segment tests/translate tests/benchmarks tests/hostile $(OTHERS)

# Only files that bear the mark are given: pytest would import all of the others, to leave their tests out.
test-runtimes: $(VENV)/installed ## ... those of OpenVINO and ONNX Runtime
	$(VENV)/bin/python -m pytest -m runtimes $$(grep -rlE --include='test_*.py' 'mark[.]runtimes' tests)

test-chaos: $(VENV)/installed ## hostile inputs, kills and failing disks, all of them, and a table (docs/reliability.md)
	$(VENV)/bin/python -m pytest -q -m "chaos or not chaos" tests/hostile

lint: $(VENV)/installed ## check style
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

clean: ## remove the environment; runs stay
	rm -rf $(VENV)

# FORCE: the frames and the config are looked at every time; the files change only when their content does.
$(RUN)/inputs/%.json: $(RUN)/inputs/checked ;

$(RUN)/inputs/checked: FORCE | $(VENV)/installed
	@$(SIM2REAL) config inputs $(EXPERIMENT) --seed $(SEED)

# With compare.one_translator both lie in the folder of the first seed, whichever is asked for: -c makes none elsewhere.
$(TRANSLATOR): $(RUN)/inputs/translator.json
	$(SIM2REAL) translate train $(EXPERIMENT) --seed $(SEED) --restart $(ARGS)
	@touch -c $@

$(TRANSLATED): $(TRANSLATOR) $(RUN)/inputs/translation.json
	$(SIM2REAL) translate experiment $(EXPERIMENT) --seed $(SEED) --restart $(ARGS)
	@touch -c $@

# Where the segmenter learns from no translated frame, it waits for none. What the table [segmenter.shares] holds is read as
# if "shares." stood before it; a variant's table of shares is not the experiment's.
SHARES_TABLE = ^[[:space:]]*\[[[:space:]]*segmenter[[:space:]]*\.[[:space:]]*shares[[:space:]]*\]
SHARE_IS = ^[[:space:]]*shares([[:space:]]*=.*[{,]|\.)[[:space:]]*translated[[:space:]]*=[[:space:]]*
NONE_IS = $(SHARE_IS)0(\.0*)?([^.0-9]|$$)
UNTRANSLATED := $(if $(findstring shares,$(SET)),,$(shell \
  awk 'FNR == 1 || /^[[:space:]]*\[/ { table = /$(SHARES_TABLE)/ } { print (table ? "shares." : "") $$0 }' $(CONFIGS) 2>/dev/null \
  | grep -E '$(SHARE_IS)' | head -n 1 | grep -E '$(NONE_IS)'))

$(SEGMENTER): $(if $(UNTRANSLATED),,$(TRANSLATED)) $(RUN)/inputs/segmenter.json
	$(SIM2REAL) segment train $(EXPERIMENT) --seed $(SEED) --restart $(ARGS)
	@touch $@

$(REPORT): $(SEGMENTER) $(RUN)/inputs/report.json
	$(SIM2REAL) compare $(EXPERIMENT) --restart $(ARGS)
	@touch $@

FORCE:
