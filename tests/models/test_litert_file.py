"""A LiteRT file asked as a session of ONNX Runtime: its answers are those of the network that it was made of."""

from __future__ import annotations

import base64
import json
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from limbeck.modalities.image import predict
from limbeck.models.litert_file import LiteRTFile

# Made by litert-torch 0.10.0 of a convnet (width 1, depth 1; weights of torch's seed 0) for grey images of 8x8 and three
# classes; compressed by zlib, in base 85.
FILE = (
    "c-"
    "p;JYiLwQ6rOz~**wg1^H5g}Hr0T3$zx4zO>V@7klI*+SR0GDMzfk|vI(0_TC7kJEAjEe)(2IjV5>#iV2hOgu<>r7paG)|(prBA73mK_DZ$!k"
    "vdM10Gcz}H^Qa+|=EAo#duQgH?>y$rTo+?(LuGZbljSlybFd_q%A9zY!(6<z0VjY?;Cl<hIAghJ&!Tk!%hMRk2acvPc0Yx&AkdSH^+4+!#_n"
    "N(3+PP5WZ-"
    "B5W2L}AJY$~$kFo9{@CU62?g4j!Ux0p~59kG4(0LCc(6Ac(#G*a#z*rn(4Ka`hqWxCJR$Ij!EWwk2HVIbQ(G%Q>b1ndytj!nbX!P&&*86tUw"
    "KoO%I;Yf;4>;sn2lod<kMVv>d$6@V=q(@(fq`h0-"
    "h%>bY_8ksLkkM5O3v?%Mx(T5K9CLU_W4@9ZNa*2O}>Vv7Vq{JKmPcG?242_2nO1Hq?<H5q|SLj2GHE-_XgVi!Nz8vx5F1`Yi#keLAjP}E^-"
    "&RIWhT=o$IRKT%Y?!iy!lYzIr#_B*PvRZG?(#Ccgp|(gy~Y=DJ3|@FaM^*LFC*2FBK6um?WR0rFw+cNUQsd!_$!WJ}Ln;4G9lWlr=V5J^Bi^"
    "1%+|LwGlGAr<I^u?4_==sE$E0)5aq0G)Y&2YNf9a{xM%fLbVd2>G?ZSHsaL(TtJtbD8qM!P_`)2T?OP+GJd;l5h7=G#W4F#FLyKo^Y8KkF<m"
    "2P=C?n{P7xjAv;{ARq9}nGZ^Nw=G&$2B<W)p#w;ctSxn@273|3uT=Hpr&0mU3&IB%AFGb4hbyMRmZED$G*VLxD-"
    ">z%+)vqcn7~?|vjzZrp$WE32Em9|qXNqmgE}3*?OI@YF!s&FqCS+PoIYeNPH#j0>l0PU%^JIJ|3zK<1rf{EF#&XBP<CH0VXyhgJ>)}hA@Qsb"
    ";Y<VhVw@O=x?+3tp)A3#PA4W^2w)HV=eK5-TSS>O}`D3;^v5&>>Hf%LwW8|e#cWJ-"
    "J%RJHkR`JN3Njz3g=1Bcx@YlfzmziaqkdIwYMLuT8x#?2hUBqv(;JKK_Z<{zdXTs@K#Unw2`gxGIE28|ilFk<?n`)L5OoZn$c+Ij-kt^xacW"
    "JUFlTCXDRc>U=R&K0NHX1dY`dyq0)n8G4<7E9cY@WC;*o0g$BTd?xDt(C3%62?cF-f0EOiCv6B^{fe3BL3Gh417Tv2ii7jEj-"
    "T?^MY<g;!+3+Y=RM7^NW1aX(ivOPj5jd8YQkR?a0s?hgm|wYhetsQt@rCO;+eR>W<o7+Okm_e;B~r3|`@Y%uN3sJt&2x~GlX3dO^`t`&Oxyx"
    "v+Zd6J{UboZ$XGzJ^o#`VL)*N~ixSXViu?i0*(hS8jBLxO*vwDsR*7LUb!1TxPIsrwE0)3A~==Y?{L#%g2*WIT{^9Hu+Y#!+Qw(hFr3j@fw("
    "a@@n??X;Qd@ugw4j}m9Hk31?KHj_*Sd7n#t#PiseMf!o71^UTHziHPu$Cg*dEYltD=V?{Tf4zz<=*}974;6(KhlH7MD4xuLY&rn_i^GBg-"
    "A@Zn?biIuc9qpGtPCCgiG>3C5&hxSSIVD+-_?r0E-"
    "t(O=}V#8FW=~XJ*Hd_@4TXam|ddX_&G+aevqK;{d29h@7q|dK6#sVC!+ixFL@gIG2Z{`9HQ0<E|(>rTvI$Plj{b5){Ll{;FztNP&{=!`@>>?"
    "8Sz}2xKDpnRHLUoJ`}o~7FTv8{hZd79o8!^H0UR*9OdOzNg=wKP~DFm`^pk`(kxj{J+dA;<T)^HoQqVxZUvXfh}s**p6wV_K8u|#pA{*eSxk"
    "G%4lZAeDvrma>&iQ?UkuHQD2_3+#j#M;Tr<au;8z(@Iay-"
    "g8d`rVF;uc~Q|RFD0e#0O7p@jnoY%{``pegP4(WGH+zq>$fKC4=cgdIZ)k6PZWPBYnKOIq3Lu{sRhG}!FP~{NG?tzXi@{Fe3T=MZbZOPnIT5"
    "sBRJ@>}(?$uYm)b@WA(egZRX}#|pE{mN1M(g?Ul>WS5FKgO!O*e9%O_}?GpVh=~!F2pgd(w`~7UxPV|6Y%koarn$bNaM)v#(me+1FP_99$DP"
    "<d`^ANSPG(>IrAE`Fzcs;@i*o_BZE~F@J>n&CbXE0YwRfEd"
)
ASCENDING, MIRRORED = (  # what PyTorch answers to numbers from -1 to 1, and to the same mirrored
    [0.35844436287879944, -0.1019236221909523, 0.09845373779535294],
    [0.36170637607574463, -0.09726693481206894, 0.10035126656293869],
)
SAID = {
    "schema_version": 1,
    "task": "image-classification",
    "classes": ["a", "b", "c"],
    "input": {"channels": 1, "height": 8, "width": 8, "mean": [0.5], "std": [0.5], "scale": "0-1"},
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The file, with what it says of itself beside it."""
    path = tmp_path / "student.tflite"
    path.write_bytes(zlib.decompress(base64.b85decode(FILE)))
    path.with_name("student.tflite.json").write_text(json.dumps(SAID))
    return path


def test_any_number_of_examples_is_answered_as_the_network_does(file: Path) -> None:
    pytest.importorskip("ai_edge_litert")
    session, image_HW = LiteRTFile(file), np.linspace(-1, 1, 64, dtype=np.float32).reshape(8, 8)
    (takes,) = session.get_inputs()
    assert (takes.name, takes.shape, takes.type) == ("image", ["any", 1, 8, 8], "tensor(float)")
    for count in (2, 5, 2, 1):
        images_BCHW = np.stack([image_HW if place % 2 == 0 else image_HW[:, ::-1] for place in range(count)])[:, None]
        (logits_BC,) = session.run(None, {"image": images_BCHW})
        np.testing.assert_allclose(logits_BC, ([ASCENDING, MIRRORED] * 3)[:count], atol=1e-5)


def test_predict_takes_such_a_file(file: Path, tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_litert")
    pixels_HW = np.linspace(0, 255, 64).round().astype(np.uint8).reshape(8, 8)
    Image.fromarray(pixels_HW).save(tmp_path / "x.png")
    (found,) = predict.predict(file, [tmp_path / "x.png"])
    shares = np.exp(ASCENDING) / np.exp(ASCENDING).sum()
    assert [name for name, _ in found.classes] == ["a", "c", "b"]
    np.testing.assert_allclose([share for _, share in found.classes], shares[[0, 2, 1]], atol=1e-3)


def test_a_file_that_says_nothing_or_is_damaged_is_refused(file: Path) -> None:
    pytest.importorskip("ai_edge_litert")
    file.with_name("student.tflite.json").unlink()
    with pytest.raises(ValueError, match="no 'limbeck' metadata"):
        predict.predict(file, ["x.png"])
    file.write_bytes(b"TFL3" * 10)
    with pytest.raises(ValueError, match="no LiteRT model, or it is damaged"):
        predict.predict(file, ["x.png"])


def test_where_the_runtime_is_missing_it_is_said_what_to_install(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ai_edge_litert", None)
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    with pytest.raises(ValueError, match="pip install ai-edge-litert"):
        predict.predict(file, ["x.png"])
