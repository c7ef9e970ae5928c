"""Audio classification: a keyword, or any sound, in a window of time."""

from ...sections.outline import Outline

OUTLINES = {
    "audio-classification": Outline(
        title="Audio classification",
        about="Sounds with one label each, such as spoken words. Models take the samples themselves; they are ours, one's own, or "
        "ONNX files.",
        article="a",
        positions="samples",
        example="sound",
        examples="sounds",
        smallest={
            "data": {"name": "fsdd"},
            "teacher": {"model": "speech_resnet", "train": {"epochs": 14}},
            "student": {"model": "ds_cnn", "width": 24},
        },
        student_file="student.onnx",
        look_first="at the rate and the length of the sounds that it was made for (data.rate and data.seconds), then whether its "
        "classes stand in the order of the data's",
        extra="speech",
    ),
    "automatic-speech-recognition": Outline(
        title="Automatic speech recognition",
        about="What is said in a clip, letter by letter, learnt from transcripts by CTC. Models take the samples themselves and answer at "
        "each frame; they are ours, or one's own. A recogniser that gives transcripts alone can be the teacher.",
        article="a",
        positions="samples",
        example="clip",
        examples="clips",
        smallest={
            "data": {"name": "kathleen"},
            "teacher": {"model": "ds_ctc", "train": {"epochs": 25}},
            "student": {"model": "ds_ctc", "width": 64, "depth": 4},
        },
        student_file="student.onnx",
        look_first="at the rate that it was made for (data.rate), then whether its symbols stand in the order of data.alphabet, the blank "
        "first",
        extra="speech",
    ),
}
