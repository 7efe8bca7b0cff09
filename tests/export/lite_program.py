"""Run by the Python of tools/lite: `lite_program.py JOBS.json` does the jobs with MindSpore Lite, and adds `error`.

A job is `{"do": "convert", "graph", "output", "optimize", "save_type"}` or `{"do": "run", "graph", "input", "output"}`;
`log` is the file for what the library prints meanwhile. One process for many jobs: loading the library takes seconds.
"""

import json
import os
import sys

import mindspore_lite as lite
import numpy as np


def convert(job):
    converter = lite.Converter()
    converter.optimize = job["optimize"]
    converter.save_type = getattr(lite.ModelType, job["save_type"])
    kind = lite.FmkType.ONNX if job["graph"].endswith(".onnx") else lite.FmkType.MINDIR
    converter.convert(kind, job["graph"], job["output"])


def run(job):
    context, model = lite.Context(), lite.Model()
    context.target = ["cpu"]
    context.cpu.thread_num = 1  # as the runners
    model.build_from_file(job["graph"], lite.ModelType.MINDIR, context)
    inputs = model.get_inputs()
    inputs[0].set_data_from_numpy(np.load(job["input"]))
    np.save(job["output"], model.predict(inputs)[0].get_data_to_numpy())


def main(path):
    with open(path, encoding="utf-8") as file:
        jobs = json.load(file)
    for job in jobs:
        log = os.open(job["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.close(log)
        try:
            {"convert": convert, "run": run}[job["do"]](job)
            job["error"] = ""
        except RuntimeError as error:
            job["error"] = str(error)
        sys.stdout.flush()
    with open(path, "w", encoding="utf-8") as file:
        json.dump(jobs, file)
    os._exit(0)  # MindSpore Lite 2.0 may crash when its objects are destroyed


main(sys.argv[1])
