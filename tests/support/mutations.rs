//! Archives with one fault each, and the same archives without it.
//!
//! One table, read by `tests/image_mutations.rs` and, for `make peers`, by the laboratory.

use repro::digest::{Algorithm, Digest, Hasher};
use repro::image::media_type::{DOCKER_CONFIG, DOCKER_MANIFEST, OCI_CONFIG, OCI_INDEX, OCI_LAYER};
use repro::limits;
use serde_json::{Value, json};

use super::image_builder::{
    Entry, ImageBuilder, Layer, Layout, blob, dir, file, gzip, hardlink, pax_record, plain, platforms, special,
    symlink, tar, typed, zstd,
};

/// An archive with a fault.
pub struct Mutation {
    /// What is done to it, in few words.
    pub name: &'static str,
    /// The faults that are told, as variants of `FaultKind` or `ImageError`.
    pub faults: &'static [&'static str],
    /// A part of what is said.
    pub says: &'static str,
    /// With the fault.
    pub broken: Vec<u8>,
    /// Without it.
    pub sound: Vec<u8>,
}

/// Collects them.
#[derive(Default)]
struct Table(Vec<Mutation>);

impl Table {
    /// The image of all cases, and what is changed in its members.
    fn members(
        &mut self,
        name: &'static str,
        fault: &'static [&'static str],
        says: &'static str,
        change: impl FnOnce(Layout) -> Layout,
    ) {
        self.row(name, fault, says, change(image().build()).tar(), image().build().tar());
    }

    /// The image of all cases, and what is changed while it is built: all digests fit.
    fn built(
        &mut self,
        name: &'static str,
        fault: &'static [&'static str],
        says: &'static str,
        change: impl FnOnce(ImageBuilder) -> ImageBuilder,
    ) {
        self.row(name, fault, says, change(image()).build().tar(), image().build().tar());
    }

    /// The image of all cases, and what stands in its archive instead of `index.json`.
    fn index_as(
        &mut self,
        name: &'static str,
        fault: &'static [&'static str],
        says: &'static str,
        entries: impl FnOnce(&[u8]) -> Vec<Entry>,
    ) {
        let layout = image().build();
        let broken = layout.tar_with("index.json", entries(layout.bytes("index.json")));
        self.row(name, fault, says, broken, layout.tar());
    }

    /// An image with this layer on top, against one with that layer.
    fn layer(
        &mut self,
        name: &'static str,
        fault: &'static [&'static str],
        says: &'static str,
        broken: Layer,
        sound: Layer,
    ) {
        let [broken, sound] = [broken, sound].map(|layer| image().layer(layer).build().tar());
        self.row(name, fault, says, broken, sound);
    }

    /// A layer of these raw tar bytes.
    fn raw(&mut self, name: &'static str, says: &'static str, bytes: Vec<u8>) {
        self.layer(name, &["Layer"], says, gzip(bytes), gzip(tree()));
    }

    fn row(
        &mut self,
        name: &'static str,
        faults: &'static [&'static str],
        says: &'static str,
        broken: Vec<u8>,
        sound: Vec<u8>,
    ) {
        self.0.push(Mutation { name, faults, says, broken, sound });
    }
}

/// All of them.
pub fn mutations() -> Vec<Mutation> {
    let mut table = Table::default();
    blobs(&mut table);
    members(&mut table);
    ambiguous_members(&mut table);
    documents(&mut table);
    digests_in_documents(&mut table);
    media_types(&mut table);
    compressed_layers(&mut table);
    tars_of_layers(&mut table);
    pax_of_layers(&mut table);
    config(&mut table);
    docker_manifest(&mut table);
    oldest_form(&mut table);
    indexes(&mut table);
    whole_archives(&mut table);
    table.0
}

/// The image of all cases: two layers that BuildKit rewrote, with `manifest.json`, so that every tool can read it.
fn image() -> ImageBuilder {
    ImageBuilder::both().layer(lower()).layer(upper()).named("docker.io/library/mutant:1")
}

fn lower() -> Layer {
    gzip(tree()).rewritten(100)
}

fn upper() -> Layer {
    gzip(tar([dir("etc/").at(100), file("etc/motd", "hello\n").at(50)])).rewritten(100)
}

fn tree() -> Vec<u8> {
    tar([dir("bin/").at(100), file("bin/sh", "#!").at(100), symlink("sh", "bin/sh").at(100)])
}

fn path(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm().name(), digest.hex())
}

fn of(digest: Option<&Digest>) -> String {
    path(digest.unwrap())
}

fn long(bytes: &[u8]) -> Digest {
    let mut hasher = Hasher::new(Algorithm::Sha512);
    hasher.update(bytes);
    hasher.finish()
}

/// An image whose layer is named by sha512, and so is its diff ID as `diff_id` makes it.
fn image_in_sha512(diff_id: impl Fn(&Layer) -> Digest + 'static) -> Vec<u8> {
    let layer = gzip(tree());
    let (digest, diff_id) = (long(&layer.blob), diff_id(&layer));
    let short = path(&layer.digest());
    let name = digest.to_string();
    let builder = ImageBuilder::oci().layer(layer);
    let builder = builder.manifest(move |manifest| manifest["layers"][0]["digest"] = name.clone().into());
    let builder = builder.config(move |config| config["rootfs"]["diff_ids"][0] = diff_id.to_string().into());
    let mut layout = builder.build();
    layout.members.iter_mut().find(|(name, _)| *name == short).unwrap().0 = path(&digest);
    layout.tar()
}

fn blobs(table: &mut Table) {
    let layer = path(&lower().digest());
    let layout = image().build();
    let (config, manifest) = (of(layout.config.as_ref()), of(layout.manifest.as_ref()));
    // The fifth byte of gzip is a date: the layer inflates to the same tar.
    table.members("a byte of a layer", &["Digest"], "the name says", |it| it.change(&layer, |bytes| bytes[4] ^= 1));
    table.members("a byte of the config", &["Digest"], "the name says", |it| {
        it.change(&config, |bytes| {
            let at = bytes.windows(5).position(|word| word == b"/bin\"").unwrap();
            bytes[at + 1] = b's';
        })
    });
    table.members("a byte of the manifest", &["Digest"], "the name says", |it| {
        it.change(&manifest, |bytes| {
            let at = bytes.iter().position(|byte| *byte == b' ').unwrap();
            bytes[at] = b'\n';
        })
    });
    table.members(
        "another layer under the name of one",
        &["Digest", "Size", "DiffId", "Rewritten"],
        "the name says",
        |it| it.change(&layer, |bytes| *bytes = gzip(tar([file("evil", "evil").at(200)])).blob),
    );
    table.members("a layer is missing", &["MissingBlob"], "is missing", |it| it.without(&layer));
    table.members("the config is missing", &["MissingBlob"], "is missing", |it| it.without(&config));
    table.members("the manifest is missing", &["MissingBlob"], "is missing", |it| it.without(&manifest));
    table.members("a blob that nothing names", &["Unreferenced"], "nothing refers", |it| {
        it.with(&path(&Digest::of(b"x")), "x")
    });
    table.members("an image that nothing names", &["Unreferenced"], "nothing refers", |it| {
        let other = ImageBuilder::oci().layer(upper()).build();
        it.with(&of(other.manifest.as_ref()), other.bytes(&of(other.manifest.as_ref())))
    });
    let attested = || image().attested().build();
    let statement = path(&Digest::of(br#"{"_type":"https://in-toto.io/Statement/v0.1"}"#));
    let broken = attested().without(&statement).tar();
    table.row("a statement is missing", &["MissingBlob"], "layers: blob", broken, attested().tar());
    let broken = attested().change(&statement, |bytes| bytes[2] = b'-').tar();
    table.row("a byte of a statement", &["Digest"], "the name says", broken, attested().tar());
    table.built("the size of a layer", &["Size"], "layers[1]: the descriptor says 1 bytes", |it| {
        it.manifest(|manifest| manifest["layers"][1]["size"] = 1.into())
    });
    table.built("the size of the config", &["Size"], "config: the descriptor says 1 bytes", |it| {
        it.manifest(|manifest| manifest["config"]["size"] = 1.into())
    });
    table.built("the size of the manifest", &["Size"], "manifests[0]: the descriptor says 1 bytes", |it| {
        it.index(|index| index["manifests"][0]["size"] = 1.into())
    });
    let twice = || image().named("docker.io/library/mutant:2");
    let broken = twice().index(|index| index["manifests"][1]["size"] = 1.into()).build().tar();
    table.row(
        "the size of the manifest, under its second name",
        &["Size"],
        "manifests[1]: the",
        broken,
        twice().build().tar(),
    );
    let sound = || image_in_sha512(|layer| long(&layer.tar));
    let other = image_in_sha512(|_| long(b"other"));
    table.row("a diff ID in sha512", &["DiffId"], "the config says diff ID `sha512:", other, sound());
}

fn members(table: &mut Table) {
    let layer = path(&lower().digest());
    table.members("no index.json", &["MissingMember"], "`index.json`: is missing", |it| it.without("index.json"));
    table.members("no oci-layout", &["MissingMember"], "`oci-layout`: is missing", |it| it.without("oci-layout"));
    table.members("two index.json", &["DuplicateMember"], "more than once", |it| {
        it.with("index.json", r#"{"manifests":[]}"#)
    });
    table.members("two manifest.json", &["DuplicateMember"], "more than once", |it| it.with("manifest.json", "[]"));
    table.members("a layer twice", &["DuplicateMember"], "more than once", |it| it.with(&layer, &lower().blob));
    table.members("a layer twice, spelt in two ways", &["DuplicateMember"], "more than once", |it| {
        it.with(&format!("./{layer}"), "other")
    });
    for (name, member) in [
        ("a member of another tree", "etc/passwd"),
        ("a member that climbs out", "../index.json"),
        ("a member with an absolute path", "/index.json"),
        ("a member with a terminal's escape sequence", "\u{1b}]0;title\u{7}\u{1b}[2J"),
        ("an index.json in capitals", "INDEX.JSON"),
        ("a blob of an unknown algorithm", "blobs/md5/d41d8cd98f00b204e9800998ecf8427e"),
        ("a blob with a short name", "blobs/sha256/e3b0c44298fc1c14"),
        (
            "a blob with a name in capitals",
            "blobs/sha256/E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855",
        ),
        (
            "a sha256 in the place of a sha512",
            "blobs/sha512/e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        ),
    ] {
        table.members(name, &["ForeignMember"], "does not belong to an image layout", |it| it.with(member, ""));
    }
    let kinds: [(&str, Entry); 4] = [
        ("index.json is a symbolic link", symlink("index.json", "/etc/passwd")),
        ("index.json is a hard link", hardlink("index.json", "oci-layout")),
        ("index.json is a device", special(b'3', "index.json")),
        ("index.json is an old sparse file", special(b'S', "index.json")),
    ];
    for (name, entry) in kinds {
        table.index_as(name, &["MemberType", "MissingMember"], "not a file", |_| vec![entry]);
    }
    table.index_as("blobs is a file", &["MemberType"], "`blobs`: is a tar entry of type `0`", |index| {
        vec![file("blobs", ""), file("index.json", index)]
    });
    table.members("a thousand and one foreign members", &["TooMany"], "more than 1000 faults", |it| {
        (0..=1000).fold(it, |it, number| it.with(&format!("{number}"), ""))
    });
}

/// What Go takes for one thing and GNU tar, or Python, for another.
fn ambiguous_members(table: &mut Table) {
    const SAYS: &str = "has header extensions that readers understand differently";
    const FAULTS: &[&str] = &["AmbiguousMember", "MissingMember"];
    let alone = "PAX: path=index.json, then an empty path";
    table.index_as("a member with two PAX paths", FAULTS, SAYS, |index| {
        vec![file("other", index).pax("path", "oci-layout").pax("path", "index.json")]
    });
    table.index_as(alone, FAULTS, SAYS, |index| vec![file("other", index).pax("path", "index.json").pax("path", "")]);
    table.index_as("a member with a GNU long name and a PAX path", FAULTS, SAYS, |index| {
        vec![typed(b'L', "././@LongLink", "index.json\0"), file("other", index).pax("path", "manifest.json")]
    });
    table.index_as("a member with two GNU long names", FAULTS, SAYS, |index| {
        let long = |name: &str| typed(b'L', "././@LongLink", format!("{name}\0"));
        vec![long("manifest.json"), long("index.json"), file("other", index)]
    });
    table.index_as("a member with two PAX headers", FAULTS, SAYS, |index| {
        vec![typed(b'x', "pax", pax_record(b"path", b"other")), file("index.json", index).pax("comment", "x")]
    });
    table.index_as("a member with the name of a sparse file", FAULTS, SAYS, |index| {
        vec![file("index.json", index).pax("GNU.sparse.name", "other")]
    });
    table.index_as("a member with the map of a sparse file", FAULTS, SAYS, |index| {
        let size = index.len().to_string();
        let member = file("index.json", index).pax("GNU.sparse.map", format!("0,{size}"));
        vec![member.pax("GNU.sparse.size", &size).pax("GNU.sparse.numblocks", "1")]
    });
    table.index_as("a member with two PAX sizes", FAULTS, SAYS, |index| {
        let size = index.len().to_string();
        vec![file("index.json", index).pax("size", "1").pax("size", size)]
    });
    table.index_as("a member behind a global header with a path", FAULTS, SAYS, |index| {
        vec![typed(b'g', "global", pax_record(b"path", b"other")), file("index.json", index)]
    });
    table.index_as(
        "a PAX header, a global header, then the member",
        &["Damaged"],
        "a header extension without an entry",
        |index| {
            let global = typed(b'g', "global", pax_record(b"comment", b"x"));
            vec![typed(b'x', "pax", pax_record(b"path", b"other")), global, file("index.json", index)]
        },
    );
}

fn documents(table: &mut Table) {
    let set = |bytes: Vec<u8>| move |it: Layout| it.change("index.json", |index| *index = bytes);
    let with = |front: &[u8]| [front, image().build().bytes("index.json")].concat();
    table.members("index.json is no JSON", &["Json"], "not usable JSON: ", set(b"hello".to_vec()));
    table.members("index.json is empty", &["Json"], "not usable JSON: EOF", set(Vec::new()));
    table.members("index.json is a list", &["Json"], "not usable JSON: ", set(b"[]".to_vec()));
    table.members(
        "a key twice",
        &["Json"],
        "key `manifests` appears twice",
        set([br#"{"manifests":[],"#.as_slice(), &with(b"")[1..]].concat()),
    );
    table.members("a second document behind the first", &["Json"], "trailing characters", |it| {
        it.change("index.json", |index| index.extend(b"{}"))
    });
    table.members("a byte order mark", &["Json"], "expected value", set(with(b"\xef\xbb\xbf")));
    table.members("a byte that is no UTF-8", &["Json"], "not usable JSON", |it| {
        it.change("index.json", |index| index.insert(2, 0xff))
    });
    let deep = |levels: usize| format!(r#"{{"x":{}{}}}"#, "[".repeat(levels), "]".repeat(levels)).into_bytes();
    table.members("JSON 33 levels deep", &["Json"], "nested deeper than 32 levels", set(deep(33)));
    table.members("JSON 10,000 levels deep", &["Json"], "nested deeper than 32 levels", set(deep(10_000)));
    table.members(
        "a key that only Go finds, in index.json",
        &["Json"],
        "key `Manifests` is `manifests` to some readers",
        |it| it.edit("index.json", |index| index["Manifests"] = json!([])),
    );
    table.built(
        "a key that only Go finds, in the manifest",
        &["Json"],
        "key `LAYERS` is `layers` to some readers",
        |it| it.manifest(|manifest| manifest["LAYERS"] = json!([])),
    );
    table.built(
        "a key that only Go finds, in the config",
        &["Json"],
        "key `RootFS` is `rootfs` to some readers",
        |it| it.config(|config| config["RootFS"] = json!({"type": "layers", "diff_ids": []})),
    );
    table.members("index.json without manifests", &["Json"], "there is no `manifests`", |it| {
        it.edit("index.json", |index| index["manifests"] = Value::Null)
    });
    table.built("a manifest without config", &["Json"], "there is no `config`", |it| {
        it.manifest(|manifest| manifest["config"] = Value::Null)
    });
    table.built("a config without rootfs", &["Json"], "missing field `rootfs`", |it| {
        it.config(|config| drop(config.as_object_mut().unwrap().remove("rootfs")))
    });
    table.built("a config that is a layer", &["Size", "Json"], "holds something else", |it| {
        it.manifest(|manifest| manifest["config"]["digest"] = lower().digest().to_string().into())
    });
    table.members(
        "index.json of more than 4 MiB",
        &["DocumentSize", "MissingMember"],
        "over the limit of 4194304",
        |it| it.change("index.json", |index| index.resize(5 << 20, b' ')),
    );
    table.built("a config of more than 4 MiB", &["DocumentSize"], "over the limit of 4194304", |it| {
        it.config(|config| config["comment"] = "x".repeat(5 << 20).into())
    });
    table.members("another version of the layout", &["Version"], "`imageLayoutVersion` is 2.0.0", |it| {
        it.edit("oci-layout", |layout| layout["imageLayoutVersion"] = "2.0.0".into())
    });
    table.members("a layout without version", &["Json"], "missing field `imageLayoutVersion`", |it| {
        it.edit("oci-layout", |layout| *layout = json!({}))
    });
    table.members("another schemaVersion of index.json", &["Version"], "`schemaVersion` is 1", |it| {
        it.edit("index.json", |index| index["schemaVersion"] = 1.into())
    });
    table.built("a manifest without schemaVersion", &["Version"], "`schemaVersion` is missing", |it| {
        it.manifest(|manifest| manifest["schemaVersion"] = Value::Null)
    });
    table.built("a manifest that is an index as well", &["Ambiguous"], "could be taken for an index", |it| {
        it.manifest(|manifest| manifest["manifests"] = json!([]))
    });
}

fn digests_in_documents(table: &mut Table) {
    let digest = image().build().manifest.unwrap();
    for (name, text, says) in [
        (
            "a digest of an unknown algorithm",
            "md5:d41d8cd98f00b204e9800998ecf8427e".to_owned(),
            "digest algorithm `md5` is not known",
        ),
        ("a digest in capitals", digest.to_string().to_uppercase(), "digest algorithm `SHA256` is not known"),
        ("a sha512 with the digits of a sha256", format!("sha512:{}", digest.hex()), "sha512 takes 128"),
        ("a digest without algorithm", digest.hex().to_owned(), "no `algorithm:` in front"),
        ("a digest with a digit less", digest.to_string()[..70].to_owned(), "sha256 takes 64"),
        ("no digest", String::new(), "a digest is empty"),
    ] {
        table.members(name, &["Json"], says, |it| {
            it.edit("index.json", |index| index["manifests"][0]["digest"] = text.into())
        });
    }
    for (name, size) in
        [("a negative size", json!(-1)), ("a size in quotes", json!("1")), ("a broken size", json!(1.5))]
    {
        table.members(name, &["Json"], "not usable JSON", |it| {
            it.edit("index.json", |index| index["manifests"][0]["size"] = size)
        });
    }
}

fn media_types(table: &mut Table) {
    table.members("a descriptor with another media type", &["MediaType", "ConfigFamily"], "says media type", |it| {
        it.edit("index.json", |index| index["manifests"][0]["mediaType"] = DOCKER_MANIFEST.into())
    });
    let twice = || image().named("docker.io/library/mutant:2");
    let broken = twice().index(|index| index["manifests"][1]["mediaType"] = OCI_INDEX.into()).build().tar();
    table.row("the same, under its second name", &["MediaType"], "manifests[1]: the", broken, twice().build().tar());
    table.members("index.json with another media type", &["MediaType"], "`index.json`: the descriptor says", |it| {
        it.edit("index.json", |index| index["mediaType"] = OCI_LAYER.into())
    });
    table.built("an unknown media type in index.json", &["WrongKind"], "not that of an index or a manifest", |it| {
        it.manifest(|manifest| manifest["mediaType"] = "text/\u{1b}[1m".into())
            .index(|index| index["manifests"][0]["mediaType"] = "text/\u{1b}[1m".into())
    });
    table.built("an unknown media type of the config", &["WrongKind"], "not that of the config of an image", |it| {
        it.manifest(|manifest| manifest["config"]["mediaType"] = "application/json".into())
    });
    table.built("an unknown media type of a layer", &["WrongKind"], "not that of a layer", |it| {
        it.manifest(|manifest| manifest["layers"][0]["mediaType"] = OCI_CONFIG.into())
    });
    table.built(
        "Docker's config in an OCI manifest",
        &["ConfigFamily"],
        "does not belong to a manifest of type",
        |it| it.manifest(|manifest| manifest["config"]["mediaType"] = DOCKER_CONFIG.into()),
    );
    table.built(
        "an OCI config in Docker's manifest",
        &["ConfigFamily"],
        "does not belong to a manifest of type",
        |_| {
            ImageBuilder::docker()
                .layer(lower())
                .manifest(|manifest| manifest["config"]["mediaType"] = OCI_CONFIG.into())
        },
    );
    let gz = || gzip(tree());
    table.layer(
        "zstd that says it is gzip",
        &["Compression"],
        "says compression gzip, but the bytes have zstd",
        blob(tree(), zstd(tree()).blob, "gzip"),
        zstd(tree()),
    );
    table.layer(
        "gzip that says it is not compressed",
        &["Compression"],
        "says compression none, but the bytes have gzip",
        blob(tree(), gz().blob, ""),
        gz(),
    );
    table.layer(
        "a tar that says it is gzip",
        &["Compression"],
        "says compression gzip, but the bytes have none",
        blob(tree(), tree(), "gzip"),
        plain(tree()),
    );
}

fn compressed_layers(table: &mut Table) {
    let (gz, zst) = (gzip(tree()).blob, zstd(tree()).blob);
    let changed = |bytes: &[u8], at: usize| {
        let mut bytes = bytes.to_vec();
        let at = bytes.len() - at;
        bytes[at] ^= 1;
        bytes
    };
    let cut = |bytes: &[u8], by: usize| bytes[..bytes.len() - by].to_vec();
    let more = |bytes: &[u8], tail: &[u8]| [bytes, tail].concat();
    for (name, bytes) in [
        ("gzip without its end", cut(&gz, 8)),
        ("gzip without its last byte", cut(&gz, 1)),
        ("gzip cut in the middle", cut(&gz, gz.len() / 2)),
        ("gzip with another checksum", changed(&gz, 8)),
        ("gzip with another length", changed(&gz, 1)),
        ("gzip with text behind it", more(&gz, b"trailing")),
        ("gzip with zeros behind it", more(&gz, &[0; 512])),
        ("gzip with half a header behind it", more(&gz, b"\x1f\x8b\x08")),
        ("gzip of an unknown method", more(b"\x1f\x8b\x07\0\0\0\0\0\0\xff", &gz[10..])),
    ] {
        table.layer(name, &["Layer"], "gzip data is damaged: ", blob(tree(), bytes, "gzip"), gzip(tree()));
    }
    let mut window = zst.clone();
    // A frame header that asks for a window of 2^41 bytes (RFC 8878, 3.1.1.1.2).
    window.splice(4..6, [0x00, 0xf8]);
    for (name, bytes) in [
        ("zstd without its end", cut(&zst, 3)),
        ("zstd with text behind it", more(&zst, b"trailing")),
        ("zstd with a byte of its data changed", changed(&zst, zst.len() - 4)),
        ("zstd that asks for a window of 2 TiB", window),
    ] {
        table.layer(name, &["Layer"], "zstd data is damaged: ", blob(tree(), bytes, "zstd"), zstd(tree()));
    }
    for (name, bytes) in [
        ("text as a layer", b"hello".to_vec()),
        ("JSON as a layer", b"{}".to_vec()),
        ("half a block as a layer", vec![0; 300]),
    ] {
        table.layer(name, &["NotALayer"], "neither a tar nor compressed", blob(tree(), bytes, ""), plain(tree()));
    }
}

/// A tar in which the bytes of the first header were changed, and its checksum made to fit.
fn header(change: impl Fn(&mut [u8])) -> Vec<u8> {
    let mut bytes = tree();
    change(&mut bytes[..512]);
    let mut block = tar::Header::from_byte_slice(&bytes[..512]).clone();
    block.set_cksum();
    bytes[..512].copy_from_slice(block.as_bytes());
    bytes
}

fn tars_of_layers(table: &mut Table) {
    let tree_bytes = tree();
    let file_only = || tar([file("a", "x".repeat(600))]);
    table.raw("a layer cut in the data of an entry", "the data of an entry goes on", file_only()[..900].to_vec());
    table.raw("a layer cut in a header", "a block is not complete", tree_bytes[..700].to_vec());
    table.raw(
        "a layer cut behind a header extension",
        "an entry should follow its header extension",
        tar([file("a", "").pax("path", "b")])[..1024].to_vec(),
    );
    table.raw("a header with another checksum", "not a tar header (checksum)", {
        let mut bytes = tree_bytes.clone();
        bytes[512] ^= 1;
        bytes
    });
    table.raw(
        "one block of zeros, then an entry",
        "a zero block that is not the end",
        [&[0; 512], tree_bytes.as_slice()].concat(),
    );
    table.raw(
        "a header extension at the end",
        "a header extension without an entry",
        tar([typed(b'x', "pax", pax_record(b"path", b"b"))]),
    );
    table.raw("a long row of header extensions", "more than 16 header extensions before one entry", {
        tar(std::iter::repeat_n(typed(b'x', "pax", ""), 17).chain([file("a", "")]))
    });
    table.raw(
        "a long name at the end",
        "a header extension without an entry",
        tar([typed(b'L', "././@LongLink", "b\0")]),
    );
    for (name, says, range) in [
        ("a size that is no number", "`size` is not a number", 124..136),
        ("a time that is no number", "`mtime` is not a number", 136..148),
        ("a mode that is no number", "`mode` is not a number", 100..108),
        ("a user that is no number", "`uid` is not a number", 108..116),
        ("a group that is no number", "`gid` is not a number", 116..124),
    ] {
        table.raw(name, says, header(|block| block[range.clone()].fill(b'9')));
    }
    let size = |field: &'static [u8]| header(move |block| block[124..136].copy_from_slice(field));
    table.raw(
        "a negative size in base 256",
        "`size` is not a number",
        size(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
    );
    table.raw(
        "a size beyond 64 bits in base 256",
        "`size` is not a number",
        size(b"\x80\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
    );
    // The first entry is a directory, which has no data whatever its size says: here it is a file.
    table.raw(
        "a size of 2^62 bytes",
        "the data of an entry goes on",
        header(|block| {
            block[124..136].copy_from_slice(b"\x80\0\0\0\x40\0\0\0\0\0\0\0");
            block[156] = b'0';
        }),
    );
    table.layer(
        "an entry that climbs out",
        &["Outside"],
        "1 entries lie outside",
        gzip(tar([file("a/../../b", "")])),
        gzip(tar([file("a/../b", "")])),
    );
    table.layer(
        "a hard link that climbs out",
        &["Outside"],
        "1 entries lie outside",
        gzip(tar([hardlink("b", "../etc/shadow")])),
        gzip(tar([hardlink("b", "etc/shadow")])),
    );
    table.layer(
        "a whiteout of the parent",
        &["Outside"],
        "1 entries lie outside",
        gzip(tar([file(".wh...", "")])),
        gzip(tar([file(".wh.a", "")])),
    );
}

fn pax_of_layers(table: &mut Table) {
    let extension = |data: &[u8]| tar([typed(b'x', "pax", data), file("a", "")]);
    for (name, says, data) in [
        ("a PAX record without length", "does not begin with its length", b"path=a\n".as_slice()),
        ("a PAX record that is too long", "a record of 99 bytes where 10 are left", b"99 path=a\n"),
        ("a PAX record that is too short", "a record of 2 bytes where 9 are left", b"2 path=a\n"),
        ("a PAX record without newline", "does not end with a newline", b"10 path=abc\n"),
        ("a PAX record without key", "a record has no key", b"5 =a\n"),
        ("a zero byte in a PAX path", "a zero byte in a name", b"11 path=a\0\n"),
    ] {
        table.raw(name, says, extension(data));
    }
    for (name, key, value, says) in [
        ("a PAX time that is none", "mtime", "soon", "`mtime` is not a number"),
        ("a PAX access time that is none", "atime", "1.x", "`atime` is not a number"),
        ("a PAX change time that is none", "ctime", "-", "`ctime` is not a number"),
        ("a negative PAX size", "size", "-1", "`size` is not a number"),
        ("a PAX size that goes on", "size", "9223372036854775807", "the data of an entry goes on"),
    ] {
        table.raw(name, says, tar([file("a", "").pax(key, value)]));
    }
    table.raw(
        "a PAX record of 2 MiB",
        "over the limit of 1048576",
        tar([file("a", "").pax("comment", "x".repeat(2 << 20))]),
    );
    // Only the header stands there: what it promises is not waited for.
    let mut promise = tar([typed(b'x', "pax", ""), file("a", "")]);
    let mut block = tar::Header::from_byte_slice(&promise[..512]).clone();
    block.set_size(1 << 30);
    block.set_cksum();
    promise[..512].copy_from_slice(block.as_bytes());
    table.raw("a PAX record of 1 GB", "header extension of 1073741824 bytes is over the limit", promise);
    table.raw(
        "a long name of 2 MiB",
        "over the limit of 1048576",
        tar([typed(b'L', "././@LongLink", vec![b'a'; 2 << 20]), file("a", "")]),
    );
    let later = gzip(tar([file("a", "").at(100).pax("mtime", "100.000000001")])).rewritten(100);
    table.layer(
        "a layer that was not rewritten, by a nanosecond",
        &["Rewritten"],
        "says that its times were rewritten to 100, but `a` has the time 100",
        later,
        gzip(tree()).rewritten(100),
    );
    let access = gzip(tar([file("a", "").at(100).pax("atime", "101")])).rewritten(100);
    table.layer(
        "a layer of which the access times were not rewritten",
        &["Rewritten"],
        "has the time 101",
        access,
        gzip(tree()).rewritten(100),
    );
    let soon = gzip(tree()).annotated("buildkit/rewritten-timestamp", "soon");
    table.layer(
        "a layer that was rewritten to no time",
        &["RewrittenWhen"],
        "which is not a number of seconds",
        soon,
        gzip(tree()).rewritten(100),
    );
}

fn config(table: &mut Table) {
    let zero = Digest::of(b"").to_string();
    table.built("another diff ID", &["DiffId"], "the config says diff ID", move |it| {
        it.config(move |config| config["rootfs"]["diff_ids"][0] = zero.clone().into())
    });
    table.built("diff IDs in another order", &["DiffId", "DiffId"], "the config says diff ID", |it| {
        it.config(|config| config["rootfs"]["diff_ids"].as_array_mut().unwrap().reverse())
    });
    table.built("a diff ID in sha512 of a layer in sha256", &["DiffIdAlgorithm"], "cannot be checked", |it| {
        it.config(|config| config["rootfs"]["diff_ids"][0] = long(&tree()).to_string().into())
    });
    table.built("a diff ID less", &["LayerCount"], "the config has 1 diff IDs, but the manifest 2 layers", |it| {
        it.config(|config| drop(config["rootfs"]["diff_ids"].as_array_mut().unwrap().pop()))
    });
    table.built("a diff ID more", &["LayerCount"], "the config has 3 diff IDs, but the manifest 2 layers", |it| {
        it.config(|config| {
            config["rootfs"]["diff_ids"].as_array_mut().unwrap().push(Digest::of(b"").to_string().into());
        })
    });
    table.built(
        "a step of the history more",
        &["History"],
        "the history has 3 steps that made a layer, but there are only 2",
        |it| it.config(|config| config["history"].as_array_mut().unwrap().push(json!({"created_by": "RUN rm -rf /"}))),
    );
    table.members(
        "another architecture",
        &["Platform"],
        "says platform `linux/arm64`, but the config `linux/amd64`",
        |it| it.edit("index.json", |index| index["manifests"][0]["platform"]["architecture"] = "arm64".into()),
    );
    table.members("another operating system", &["Platform"], "says platform `windows/amd64`", |it| {
        it.edit("index.json", |index| index["manifests"][0]["platform"]["os"] = "windows".into())
    });
    table.members("another variant", &["Platform"], "says platform `linux/amd64/v3`", |it| {
        it.edit("index.json", |index| index["manifests"][0]["platform"]["variant"] = "v3".into())
    });
    let twice = || image().named("docker.io/library/mutant:2");
    let broken = twice().index(|index| index["manifests"][1]["platform"]["os"] = "plan9".into()).build().tar();
    table.row(
        "another system, under its second name",
        &["Platform"],
        "manifests[1]: the",
        broken,
        twice().build().tar(),
    );
}

fn docker_manifest(table: &mut Table) {
    let other = ImageBuilder::oci().layer(upper()).build();
    let config = of(other.config.as_ref());
    table.members("manifest.json with another config", &["DockerManifest"], "[0]: Config is", move |it| {
        it.edit("manifest.json", |entries| entries[0]["Config"] = config.into())
    });
    table.members("manifest.json with a layer less", &["DockerManifest"], "[0]: Layers is", |it| {
        it.edit("manifest.json", |entries| drop(entries[0]["Layers"].as_array_mut().unwrap().pop()))
    });
    table.members("manifest.json with its layers in another order", &["DockerManifest"], "[0]: Layers is", |it| {
        it.edit("manifest.json", |entries| entries[0]["Layers"].as_array_mut().unwrap().reverse())
    });
    table.members("manifest.json with a second image", &["DockerManifest"], "[1]: Config is", |it| {
        it.edit("manifest.json", |entries| {
            entries.as_array_mut().unwrap().push(json!({"Config": "blobs/sha256/00", "RepoTags": null, "Layers": []}));
        })
    });
    table.members("manifest.json without images", &["NoImage"], "`manifest.json`: holds no image", |it| {
        it.edit("manifest.json", |entries| *entries = json!([]))
    });
    table.members("manifest.json is no list", &["Json"], "`manifest.json`: not usable JSON", |it| {
        it.edit("manifest.json", |entries| *entries = json!({}))
    });
    table.members(
        "manifest.json with a key that only Go finds",
        &["Json"],
        "key `layers` is `Layers` to some readers",
        |it| it.edit("manifest.json", |entries| entries[0]["layers"] = json!([])),
    );
}

/// What Docker before 1.10 goes by, beside `manifest.json`.
fn oldest_form(table: &mut Table) {
    let with = |name: &str| {
        let repositories = json!({name: {"1": "0a".repeat(32)}}).to_string();
        image().build().with("repositories", repositories).tar()
    };
    let (broken, sound) = (with("docker.io/library/other"), with("docker.io/library/mutant"));
    table.row("repositories with another name", &["Legacy"], "but `manifest.json` to `nothing`", broken, sound);
    let config = json!({
        "architecture": "amd64",
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [Digest::of(&tree()).to_string()]},
    });
    let entries = json!([{"Config": "config.json", "RepoTags": ["mutant:1"], "Layers": ["layer.tar"]}]);
    let linked = |target: &str| {
        let documents = [file("config.json", config.to_string()), file("manifest.json", entries.to_string())];
        tar(documents.into_iter().chain([file("layer.tar", tree()), symlink("old/layer.tar", target)]))
    };
    let (broken, sound) = (linked("../../layer.tar"), linked("../layer.tar"));
    table.row("a link to a layer outside", &["LinkTarget"], "which is no layer of this archive", broken, sound);
    let packed = gzip(image().build().tar()).blob;
    let broken = packed[..packed.len() - 9].to_vec();
    table.row("a packed archive without its end", &["Unpack"], "the archive's ", broken, packed);
}

fn indexes(table: &mut Table) {
    let several = || {
        platforms([
            ImageBuilder::oci().layer(lower()),
            ImageBuilder::oci().platform("linux", "arm", "v7").layer(upper()),
        ])
    };
    let empty = ImageBuilder::oci().layer(lower()).index(|index| index["manifests"] = json!([])).build();
    let blobs: Vec<String> =
        empty.members.iter().map(|(name, _)| name.clone()).filter(|name| name.starts_with("blobs/")).collect();
    let empty = blobs.iter().fold(empty, |it, blob| it.without(blob));
    table.row("an index without images", &["NoImage"], "`index.json`: holds no image", empty.tar(), several().tar());
    let nested = |levels: u32| {
        let mut layout = several();
        for _ in 0..levels {
            let mut index: Value = serde_json::from_slice(layout.bytes("index.json")).unwrap();
            index["mediaType"] = OCI_INDEX.into();
            let descriptor = layout.add(OCI_INDEX, index.to_string().into_bytes());
            layout.set("index.json", json!({"schemaVersion": 2, "manifests": [descriptor]}).to_string().into_bytes());
        }
        layout.tar()
    };
    // `several` has one level of its own.
    let deepest = limits::INDEX_DEPTH - 2;
    table.row("indexes below indexes", &["IndexDepth"], "nested deeper than 8", nested(deepest + 1), nested(deepest));
    let layout = several();
    let digest = layout.image.clone().unwrap();
    let broken = layout.clone().edit("index.json", |index| {
        // It cannot hold its own digest: what it can is claim to be what is below it.
        index["manifests"][0]["digest"] = layout.manifest.as_ref().unwrap().to_string().into();
    });
    table.row(
        "an index instead of which an image is named",
        &["Size", "MediaType", "Json"],
        "there is no `manifests`",
        broken.tar(),
        several().tar(),
    );
    let broken = layout.change(&path(&digest), |bytes| bytes.extend(b" "));
    table.row("a blank in an index", &["Digest", "Size"], "the name says", broken.tar(), several().tar());
}

fn whole_archives(table: &mut Table) {
    let archive = image().build().tar();
    let mut row = |name, faults, says, broken| table.row(name, faults, says, broken, archive.clone());
    row("text", &["NotATar"], "not a tar archive", b"hello, world".to_vec());
    row("noise", &["NotATar"], "not a tar archive", vec![0x5a; 4096]);
    row("nothing", &["Truncated"], "the archive is cut off at byte 0", Vec::new());
    row("an empty tar", &["MissingMember", "MissingMember"], "`index.json`: is missing", tar([]));
    row(
        "the archive without its end",
        &["Truncated"],
        "the two zero blocks of the end should follow",
        archive[..archive.len() - 1024].to_vec(),
    );
    row(
        "the archive with half of its end",
        &["Truncated"],
        "the second zero block of the end",
        archive[..archive.len() - 512].to_vec(),
    );
    row("the archive without its last member", &["Truncated"], "cut off", archive[..archive.len() - 1536].to_vec());
    row(
        "a second archive behind the first",
        &["AfterEnd"],
        "though the archive has ended",
        [archive.as_slice(), &archive].concat(),
    );
    row("a byte behind the end", &["AfterEnd"], "though the archive has ended", [archive.as_slice(), b"x"].concat());
    let mut damaged = archive.clone();
    damaged[512] ^= 0x20;
    row("a damaged header", &["Damaged"], "not a tar header (checksum)", damaged);
    let mut sized = archive.clone();
    let mut block = tar::Header::from_byte_slice(&sized[..512]).clone();
    block.as_old_mut().size.copy_from_slice(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe");
    block.set_cksum();
    sized[..512].copy_from_slice(block.as_bytes());
    row("a member of negative size", &["Damaged"], "`size` is not a number", sized);
    let members = usize::try_from(limits::ARCHIVE_MEMBERS).unwrap() + 1;
    row(
        "more members than any image has",
        &["Limit"],
        "more than 65536 members",
        tar((0..members).map(|_| dir("blobs/"))),
    );
    let large = (0..7).fold(image().build(), |layout, number| {
        let bytes = format!("{{{}{number}}}", " ".repeat((4 << 20) - 8)).into_bytes();
        layout.with(&path(&Digest::of(&bytes)), bytes)
    });
    row("more JSON than any image has", &["Limit"], "more than 25165824 bytes of JSON", large.tar());
}
