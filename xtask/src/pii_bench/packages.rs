//! The packages whose files are read: each at one version, with the checksum of its archive.

/// A package of npm's registry.
pub(super) struct Package {
    /// Name and version, as npm takes them.
    pub(super) name: &'static str,
    /// What npm calls the archive.
    pub(super) archive: &'static str,
    /// The archive's SHA-256.
    pub(super) sha256: &'static str,
}

/// Scripts, style sheets, icons, HTML, OpenAPI documents, schemas, source maps, Markdown, tables of numbers.
pub(super) const NPM: &[Package] = &[
    Package {
        name: "bootstrap@5.3.3",
        archive: "bootstrap-5.3.3.tgz",
        sha256: "38cee936dbd80138de6775683149f22e9226fc2d654392337a921f53000c789e",
    },
    Package {
        name: "bootstrap-icons@1.11.3",
        archive: "bootstrap-icons-1.11.3.tgz",
        sha256: "c68c68dc483cc06c897873d2452e23d33f21865d205edc51349332313bdfdae5",
    },
    Package {
        name: "caniuse-lite@1.0.30001639",
        archive: "caniuse-lite-1.0.30001639.tgz",
        sha256: "4de856ec9760b06a59cc527e2603dba3658eb34052cc4d0c104d3d4a4b60769c",
    },
    Package {
        name: "cldr-core@45.0.0",
        archive: "cldr-core-45.0.0.tgz",
        sha256: "4f5ccf97f366d52b5e28189c43fc52617dc6b4020f5b00827a9083eab34f6e9f",
    },
    Package {
        name: "country-flag-icons@1.5.12",
        archive: "country-flag-icons-1.5.12.tgz",
        sha256: "b574416142719ac167f86665f65868d602a42a5a883c087d01dc3e82257de3e1",
    },
    Package {
        name: "d3@7.9.0",
        archive: "d3-7.9.0.tgz",
        sha256: "7e36605710a2ba54846797c8c6d888911341b215ae53257dc32a49a0b824355e",
    },
    Package {
        name: "@fortawesome/fontawesome-free@6.5.2",
        archive: "fortawesome-fontawesome-free-6.5.2.tgz",
        sha256: "1622d514686c299db3ffe9405c4f124778ce812658f66282d4524247e66fff9c",
    },
    Package {
        name: "highlight.js@11.9.0",
        archive: "highlight.js-11.9.0.tgz",
        sha256: "db2a70542f61a7ee55c82d7fa13a5a4ec3df690fb1c9476c0d7b8500d4bfab30",
    },
    Package {
        name: "jquery@3.7.1",
        archive: "jquery-3.7.1.tgz",
        sha256: "68a9f787516da47c680e09c187bcbac4536b6f85d90eb882844e12919e583f53",
    },
    Package {
        name: "jsdoc@4.0.3",
        archive: "jsdoc-4.0.3.tgz",
        sha256: "853e0a2d2f32b8bf3b5f7a5730e23ec1cb138a616e066bb2bc658d13c349da57",
    },
    Package {
        name: "leaflet@1.9.4",
        archive: "leaflet-1.9.4.tgz",
        sha256: "84c65a256e50657896f54c33bd857b6849ebe94c817803be818bf32a3dde0b77",
    },
    Package {
        name: "lodash@4.17.21",
        archive: "lodash-4.17.21.tgz",
        sha256: "6a087ac9e5702a0c9d60fbcd48696012646ec8df1491dea472b150e79fcaf804",
    },
    Package {
        name: "mathjax@3.2.2",
        archive: "mathjax-3.2.2.tgz",
        sha256: "1b9c0a1c44df864e915690558e72adb9cc5203360daefd385084ced3b6c64c09",
    },
    Package {
        name: "@mdi/svg@7.4.47",
        archive: "mdi-svg-7.4.47.tgz",
        sha256: "de92e5dc9ce46c392ab5c53aa7190b19f82b40cb48872a083f788c7e13e91fef",
    },
    Package {
        name: "mdn-data@2.10.0",
        archive: "mdn-data-2.10.0.tgz",
        sha256: "ad81f24759b0c9a441cec13f74f0dcacadbb7726b7e1787e62457c9cda2f3622",
    },
    Package {
        name: "moment-timezone@0.5.45",
        archive: "moment-timezone-0.5.45.tgz",
        sha256: "3d9a107596286d74d3f5b4be50f58407f6c88d7c46b018ea33d8ad6a67838dde",
    },
    Package {
        name: "npm@10.8.1",
        archive: "npm-10.8.1.tgz",
        sha256: "b8807aebb9656758e2872fa6e7c564b506aa2faa9297439a478d471d2fe32483",
    },
    Package {
        name: "plotly.js-dist-min@2.33.0",
        archive: "plotly.js-dist-min-2.33.0.tgz",
        sha256: "b607f1b8c6c192d4ed7851b7a73be891b2b11df8516e03965f9a2043fd576648",
    },
    Package {
        name: "prettier@3.3.2",
        archive: "prettier-3.3.2.tgz",
        sha256: "612c21a86f7bdbcdd57ce0d1b3f6f205705f5e673310513ebf3f587d63c34cec",
    },
    Package {
        name: "@readme/oas-examples@5.12.0",
        archive: "readme-oas-examples-5.12.0.tgz",
        sha256: "52330a2416655b188bd860f61b6390672196b7cfd3c1667bb3588ff1a77de68a",
    },
    Package {
        name: "@redocly/openapi-core@1.18.1",
        archive: "redocly-openapi-core-1.18.1.tgz",
        sha256: "469f5b210a842ee77b330810ee9156e34cddc4db532292fcde99bb6831a43b99",
    },
    Package {
        name: "simple-icons@13.0.0",
        archive: "simple-icons-13.0.0.tgz",
        sha256: "95eff7ec9779578c91f9816cb82431bc7cce18375046845ec73c9876cf16c3bd",
    },
    Package {
        name: "swagger-ui-dist@5.17.14",
        archive: "swagger-ui-dist-5.17.14.tgz",
        sha256: "c57badf459aa6e65cc036b3862d0502a63f9a22546407ffcb0e64f85f816bb28",
    },
    Package {
        name: "three@0.166.1",
        archive: "three-0.166.1.tgz",
        sha256: "ce585bcc9ce8a33c82b98472cc4ec2e7dae9c6a0435e38eaf0d2874a8d09bd1f",
    },
    Package {
        name: "typescript@5.5.3",
        archive: "typescript-5.5.3.tgz",
        sha256: "f47d21b40c99188b4158f8a444f132207957d528b1f80ccbc019ce9c4765c3d1",
    },
    Package {
        name: "validator@13.12.0",
        archive: "validator-13.12.0.tgz",
        sha256: "9189b3c1d90b55e4822c4106504b16ce77a431267d17abb9527e4f1b1400ae13",
    },
    Package {
        name: "webpack@5.92.1",
        archive: "webpack-5.92.1.tgz",
        sha256: "76073c7d5a84473f35e74ebce74d50fc4cfc6fe77a435754ca0c7621594411a3",
    },
    Package {
        name: "world-atlas@2.0.2",
        archive: "world-atlas-2.0.2.tgz",
        sha256: "032e7765f2ce00edaeafec23ff22bc3b77e42987c257da944cc585b452c05b97",
    },
];
