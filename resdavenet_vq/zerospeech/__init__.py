"""ZeroSpeech submissions of 2019, 2020 and 2021: written (`submission`) and checked (`validation`).

A submission is a folder, or a zip of its content:

* 2019: `metadata.yaml`; `english/test/{utterance}.txt`;
* 2020: `metadata.yaml`; the 2019 task below `2019/`, with a `metadata.yaml` of its own that has `hyperparameters` too;
* 2021: `meta.yaml`; `phonetic/{path of the wav}.txt`.

A text file has a line for each frame, its values separated by spaces. `metadata` has the entries of the YAML files. The
layouts are those of the challenges' pages and of the tools that the organizers published for 2020 and 2021; the tasks
of 2017 and the lexical, syntactic and semantic tasks of 2021 are neither written nor checked.
"""
