"""The peers: papers, code, licenses, weights, what they need, and the adapter that runs each."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

ADAPTER_FOLDER = Path(__file__).parent / "adapters"


@dataclass(frozen=True, slots=True)
class PeerWeights:
    """A file of weights of a peer.

    Attributes:
        file: its path in the checkout.
        source: where it comes from.
        sha256: of the file, where it is known; else None.
    """

    file: str
    source: str
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class PeerRecord:
    """A colorizer that others made.

    Attributes:
        name: by which users choose it.
        title: as in tables of papers.
        paper: authors, title, venue.
        repository: owner and name on GitHub.
        commit: that the adapter was written for; None where there is no adapter, and for results.
        license: of the code, as the repository states it; None if it states none.
        kind: ``exemplar`` (references), ``automatic`` (none), ``restoration``.
        needs: what it needs beside its weights: references, size, GPU.
        marker: a file by which a checkout is recognized.
        weights: files that have to be in the checkout.
        packages: that the peer's Python needs beside torch, torchvision and numpy.
        adapter: file name of the script, or None: its results can then be measured with ``external`` alone.
        options: of the adapter, by name.
        results: whether the "checkout" is a folder of published results that are read instead of made.
    """

    name: str
    title: str
    paper: str
    repository: str
    commit: str | None
    license: str | None
    kind: str
    needs: str
    marker: str = ""
    weights: tuple[PeerWeights, ...] = ()
    packages: tuple[str, ...] = ()
    adapter: str | None = None
    options: dict[str, str] = field(default_factory=dict)
    results: bool = False

    @property
    def script(self) -> Path:
        """The adapter's path."""
        assert self.adapter is not None
        return ADAPTER_FOLDER / self.adapter


_REMASTER = (
    "Iizuka and Simo-Serra, DeepRemaster: Temporal Source-Reference Attention Networks for Comprehensive Video "
    "Enhancement, SIGGRAPH Asia 2019"
)
_REMASTER_WEIGHTS = (PeerWeights("model/remasternet.pth.tar", "download_model.sh in the repository"),)
_README = "a link in the repository's README"

PEERS: dict[str, PeerRecord] = {
    record.name: record
    for record in (
        PeerRecord(
            "chromagan",
            "ChromaGAN",
            "Vitoria, Raad and Ballester, ChromaGAN: Adversarial Picture Colorization with Semantic Class "
            "Distribution, WACV 2020",
            "pvitoria/ChromaGAN",
            None,
            None,
            "automatic",
            "one image at a time, no reference; TensorFlow",
        ),
        PeerRecord(
            "gray2colornet",
            "Gray2ColorNet",
            "Lu et al., Gray2ColorNet: Transfer More Colors from Reference Image, ACM MM 2020",
            "CV-xueba/Gray2ColorNet",
            None,
            None,
            "exemplar",
            "one image at a time with one reference",
        ),
        PeerRecord(
            "color2embed",
            "Color2Embed",
            "Zhao et al., Color2Embed: Fast Exemplar-Based Image Colorization using Color Embeddings, 2021",
            "zhaohengyuan1/Color2Embed",
            None,
            None,
            "exemplar",
            "one image at a time with one reference",
        ),
        PeerRecord(
            "fullyautomatic",
            "FullyAutomatic",
            "Lei and Chen, Fully Automatic Video Colorization with Self-Regularization and Diversity, CVPR 2019",
            "ChenyangLEI/Fully-Automatic-Video-Colorization-with-Self-Regularization-and-Diversity",
            None,
            None,
            "automatic",
            "no reference; in place of a checkout the folder of the results that its authors publish for DAVIS and "
            "Videvo",
            results=True,
        ),
        PeerRecord(
            "deepremaster",
            "DeepRemaster",
            _REMASTER,
            "satoshiiizuka/siggraphasia2019_remastering",
            "60b418c6e5dd35f2c46eab0a441ea122b8588c26",
            "CC BY-NC-SA 4.0",
            "restoration",
            "any number of references; blocks of 5 frames; sides are multiples of 16",
            "model/remasternet.py",
            _REMASTER_WEIGHTS,
            ("scikit-image",),
            "deepremaster.py",
            {"restore": "yes"},
        ),
        PeerRecord(
            "deepremaster-star",
            "DeepRemaster*",
            _REMASTER + "; without its restoration network",
            "satoshiiizuka/siggraphasia2019_remastering",
            "60b418c6e5dd35f2c46eab0a441ea122b8588c26",
            "CC BY-NC-SA 4.0",
            "exemplar",
            "any number of references; blocks of 5 frames; sides are multiples of 16",
            "model/remasternet.py",
            _REMASTER_WEIGHTS,
            ("scikit-image",),
            "deepremaster.py",
            {"restore": "no"},
        ),
        PeerRecord(
            "deepexemplar",
            "DeepExemplar",
            "Zhang et al., Deep Exemplar-based Video Colorization, CVPR 2019",
            "zhangmozhe/Deep-Exemplar-based-Video-Colorization",
            "2c41bdf34ea71fab65a94cacf4bccecc68b3d988",
            "MIT",
            "exemplar",
            "one reference; sides are multiples of 16",
            "models/FrameColor.py",
            (
                PeerWeights("checkpoints/video_moredata_l1/nonlocal_net_iter_76000.pth", _README),
                PeerWeights("checkpoints/video_moredata_l1/colornet_iter_76000.pth", _README),
                PeerWeights("data/vgg19_conv.pth", _README),
                PeerWeights("data/vgg19_gray.pth", _README),
            ),
            ("opencv-contrib-python-headless", "scikit-image"),
            "deepexemplar.py",
        ),
        PeerRecord(
            "tcvc",
            "TCVC",
            "Zhang et al., Temporal Consistent Automatic Video Colorization via Semantic Correspondence, 2023 (its "
            "stage 2, by the authors of the paper that kinemacolor implements)",
            "bupt-ai-cz/TCVC",
            "62c0cd8586fab008bf84babd4e489d71b6105ce5",
            None,
            "exemplar",
            "one reference; blocks of 3 frames; sides are multiples of 8",
            "stage2/models/vctran_colorvid.py",
            (
                PeerWeights("stage2/checkpoints/checkpoint_encoder_finetune02010000.pth", _README),
                PeerWeights("stage2/checkpoints/checkpoint_decoder_finetune02010000.pth", _README),
            ),
            ("opencv-python-headless", "scikit-image"),
            "tcvc.py",
        ),
        PeerRecord(
            "colormnet",
            "ColorMNet",
            "Yang et al., ColorMNet: A Memory-based Deep Spatial-Temporal Feature Propagation Network for Video "
            "Colorization, ECCV 2024",
            "yyang181/colormnet",
            None,
            "CC BY-NC-SA 4.0",
            "exemplar",
            "one reference of the frames' size; DINOv2 of torch.hub; the extension spatial_correlation_sampler",
            "model/network.py",
            (
                PeerWeights(
                    "saves/DINOv2FeatureV6_LocalAtten_s2_154000.pth",
                    "https://github.com/yyang181/colormnet/releases/download/v0.1/"
                    "DINOv2FeatureV6_LocalAtten_s2_154000.pth",
                ),
            ),
            ("opencv-python-headless", "scikit-image"),
        ),
        PeerRecord(
            "bistnet",
            "BiSTNet",
            "Yang et al., BiSTNet: Semantic Image Prior Guided Bidirectional Temporal Feature Fusion for Deep "
            "Exemplar-based Video Colorization, TPAMI 2024",
            "yyang181/NTIRE23-VIDEO-COLORIZATION",
            None,
            None,
            "exemplar",
            "references at both ends; a GPU",
        ),
        PeerRecord(
            "swintexco",
            "SwinTExCo",
            "Tran et al., SwinTExCo: Exemplar-based Video Colorization using Swin Transformer, 2024",
            "",
            None,
            None,
            "exemplar",
            "one reference",
        ),
        PeerRecord(
            "ddcolor",
            "DDColor",
            "Kang et al., DDColor: Towards Photo-Realistic Image Colorization via Dual Decoders, ICCV 2023",
            "piddnad/DDColor",
            None,
            "Apache-2.0",
            "automatic",
            "one image at a time, no reference",
        ),
    )
}
