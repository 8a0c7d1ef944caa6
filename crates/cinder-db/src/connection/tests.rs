//! URLs as operators write them, and what becomes of them.

use std::fs;

use sqlx::mysql::MySqlSslMode;

use super::postgresql::Host;
use super::*;

fn parse(url: &str) -> Result<(Target, Vec<Warning>), ConnectionError> {
    let (config, warnings) = ConnectionConfig::parse(&SecretString::from(url))?;
    Ok((config.target, warnings))
}

fn mysql(url: &str) -> (MySqlTarget, Vec<Warning>) {
    match parse(url).expect("a valid URL") {
        (Target::MySql(target), warnings) => (*target, warnings),
        _ => panic!("not MySQL: {url}"),
    }
}

/// User, password, host, port, database.
fn parts(url: &str) -> (String, Option<String>, String, u16, String) {
    let target = mysql(url).0;
    let password = target.password.map(|it| it.expose_secret().to_owned());
    (
        target.username,
        password,
        target.host,
        target.port,
        target.database,
    )
}

fn expected(
    username: &str,
    password: Option<&str>,
    host: &str,
    port: u16,
    database: &str,
) -> (String, Option<String>, String, u16, String) {
    let password = password.map(str::to_owned);
    (
        username.into(),
        password,
        host.into(),
        port,
        database.into(),
    )
}

#[test]
fn every_spelling_of_the_mysql_dialect_is_taken() {
    for dialect in [
        "mysql",
        "mysql+pymysql",
        "mysql+mysqldb",
        "mariadb",
        "mariadb+pymysql",
    ] {
        let (target, warnings) = mysql(&format!("{dialect}://u:p@h/d"));
        assert_eq!(target.host, "h", "{dialect}");
        assert_eq!(warnings, [], "{dialect}");
    }
}

#[test]
fn parts_are_found_where_sqlalchemy_finds_them() {
    for (url, parts_of_it) in [
        ("mysql://u:p@h/d", expected("u", Some("p"), "h", 3306, "d")),
        (
            "mysql://u:p@h:3307/d?charset=utf8",
            expected("u", Some("p"), "h", 3307, "d"),
        ),
        ("mysql://u@h/d", expected("u", None, "h", 3306, "d")),
        ("mysql://u:@h/d", expected("u", Some(""), "h", 3306, "d")),
        ("mysql://h:3307/d", expected("", None, "h", 3307, "d")),
        ("mysql:///d", expected("", None, "localhost", 3306, "d")),
        ("mysql://u:p@h:/d", expected("u", Some("p"), "h", 3306, "d")),
        (
            "mysql://u:p@[2001:db8::1]:3307/d",
            expected("u", Some("p"), "2001:db8::1", 3307, "d"),
        ),
        (
            "mysql://u:p@[::1]/d",
            expected("u", Some("p"), "::1", 3306, "d"),
        ),
        (
            "mysql://u:p%40ss%2Fw%3Ard%25@h/d",
            expected("u", Some("p@ss/w:rd%"), "h", 3306, "d"),
        ),
        (
            "mysql://u%40x:p@h/d%20b",
            expected("u@x", Some("p"), "h", 3306, "d b"),
        ),
        (
            "mysql://u:p/w?r#d:x@h/d",
            expected("u", Some("p/w?r#d:x"), "h", 3306, "d"),
        ),
        (
            "mysql://a@b:p@h/d",
            expected("a@b", Some("p"), "h", 3306, "d"),
        ),
        ("mysql://a@b@h/d", expected("a@b", None, "h", 3306, "d")),
        (
            "mysql://u:p+w%2@h/d",
            expected("u", Some("p+w%2"), "h", 3306, "d"),
        ),
    ] {
        assert_eq!(parts(url), parts_of_it, "{url}");
    }
}

#[test]
fn charset_and_socket_are_honoured_and_the_rest_is_named_without_values() {
    let (target, warnings) = mysql("mysql://u:p@h/d?charset=utf8&unix_socket=%2Frun%2Fs");
    assert_eq!(target.charset, Charset::Utf8);
    assert_eq!(target.unix_socket, Some("/run/s".into()));
    assert_eq!(warnings, []);

    let url =
        "mysql://u:p@h/d?charset=latin1&a=hidden&read_timeout=hidden&empty=&ssl_capath=hidden";
    let (target, warnings) = mysql(url);
    assert_eq!(target.charset, Charset::Utf8mb4);
    assert_eq!(
        warnings,
        [
            Warning::CharsetIgnored,
            Warning::NotSupported("ssl_capath"),
            Warning::Ignored("a".into()),
        ]
    );
    for warning in warnings {
        assert!(!format!("{warning} {warning:?}").contains("hidden"));
    }
}

/// An authority, a certificate of it, its key, and the key of another one, in a folder of their own.
struct Files {
    folder: tempfile::TempDir,
}

impl Files {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let file = |name: &str, text: &str| {
            fs::write(folder.path().join(name), text).expect("a file");
        };
        let key = rcgen::KeyPair::generate().expect("a key");
        let parameters = rcgen::CertificateParams::new(["db".to_owned()]).expect("a name");
        let certificate = parameters.self_signed(&key).expect("a certificate");
        let other = rcgen::KeyPair::generate().expect("a key");
        file("ca.pem", &certificate.pem());
        file("cert.pem", &certificate.pem());
        file("key.pem", &key.serialize_pem());
        file("both.pem", &(certificate.pem() + &key.serialize_pem()));
        file("other.pem", &other.serialize_pem());
        file("empty.pem", "");
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The text with the folder in place of `DIR`.
    fn put(&self, text: &str) -> String {
        text.replace("DIR", self.folder.path().to_str().expect("UTF-8"))
    }
}

#[test]
fn tls_is_as_strict_as_the_driver_would_be() {
    let files = Files::new();
    use MySqlSslMode::{Disabled, Preferred, Required, VerifyCa, VerifyIdentity};
    for (dialect, parameters, mode) in [
        ("mysql+pymysql", "", Preferred),
        ("mysql+pymysql", "ssl_ca=DIR/ca.pem", VerifyIdentity),
        (
            "mysql+pymysql",
            "ssl_ca=DIR/ca.pem&ssl_check_hostname=false",
            VerifyCa,
        ),
        (
            "mysql+pymysql",
            "ssl_ca=DIR/ca.pem&ssl_check_hostname=true",
            VerifyIdentity,
        ),
        (
            "mysql+pymysql",
            "ssl_ca=DIR/ca.pem&ssl_verify_cert=true",
            VerifyCa,
        ),
        (
            "mysql+pymysql",
            "ssl_ca=DIR/ca.pem&ssl_verify_cert=",
            VerifyIdentity,
        ),
        (
            "mysql+pymysql",
            "ssl_ca=DIR/none&ssl_verify_cert=false",
            Required,
        ),
        ("mysql+pymysql", "ssl_verify_cert=true", VerifyCa),
        (
            "mysql+pymysql",
            "ssl_verify_cert=true&ssl_verify_identity=true",
            VerifyIdentity,
        ),
        ("mysql+pymysql", "ssl_verify_identity=1", VerifyIdentity),
        ("mysql+pymysql", "ssl_cert=DIR/both.pem", Required),
        (
            "mysql+pymysql",
            "ssl_ca=DIR/none&ssl_disabled=true",
            Disabled,
        ),
        ("mysql", "ssl_ca=DIR/ca.pem", VerifyCa),
        ("mysql+mysqldb", "ssl_ca=DIR/ca.pem", VerifyCa),
        ("mysql", "ssl_mode=VERIFY_IDENTITY", VerifyIdentity),
        ("mysql", "ssl_mode=DISABLED&ssl_ca=DIR/none", Disabled),
    ] {
        let url = files.put(&format!("{dialect}://u:p@h/d?{parameters}"));
        let (target, warnings) = mysql(&url);
        assert_eq!(
            format!("{:?}", target.tls.mode),
            format!("{mode:?}"),
            "{dialect} {parameters}"
        );
        assert_eq!(warnings, [], "{dialect} {parameters}");
    }
}

#[test]
fn certificates_and_keys_are_looked_at_before_anything_connects() {
    let files = Files::new();
    let url = files
        .put("mysql+pymysql://u:p@h/d?ssl_ca=DIR/ca.pem&ssl_cert=DIR/cert.pem&ssl_key=DIR/key.pem");
    let tls = mysql(&url).0.tls;
    assert_eq!(tls.authorities, Some(files.path("ca.pem")));
    let client = tls.client.expect("a certificate");
    assert_eq!(client.certificate, files.path("cert.pem"));
    assert_eq!(client.key, files.path("key.pem"));

    for (parameters, parameter, path, problem) in [
        (
            "ssl_ca=DIR/none",
            "ssl_ca",
            "none",
            "cannot be read (entity not found)",
        ),
        (
            "ssl_ca=DIR/empty.pem",
            "ssl_ca",
            "empty.pem",
            "holds no certificate in PEM form",
        ),
        (
            "ssl_ca=DIR/key.pem",
            "ssl_ca",
            "key.pem",
            "holds no certificate in PEM form",
        ),
        (
            "ssl_cert=DIR/cert.pem",
            "ssl_cert",
            "cert.pem",
            "holds no private key that is not encrypted",
        ),
        (
            "ssl_cert=DIR/cert.pem&ssl_key=DIR/none",
            "ssl_key",
            "none",
            "cannot be read (entity not found)",
        ),
        (
            "ssl_cert=DIR/cert.pem&ssl_key=DIR/other.pem",
            "ssl_key",
            "other.pem",
            &files.put("does not belong to DIR/cert.pem"),
        ),
    ] {
        let url = files.put(&format!("mysql+pymysql://u:p@h/d?{parameters}"));
        let error = ConnectionError::TlsFile {
            parameter,
            path: files.path(path),
            problem: problem.to_owned(),
        };
        assert_eq!(parse(&url).err(), Some(error), "{parameters}");
    }
}

#[test]
fn an_option_file_says_what_the_url_does_not() {
    let files = Files::new();
    let file =
        |name: &str, text: &str| fs::write(files.path(name), files.put(text)).expect("a file");
    fs::create_dir(files.path("more")).expect("a folder");
    file(
        "my.cnf",
        "# a comment\n[client]\nuser = nobody\nport=1\n!includedir DIR/more\n\
         [tripleo]\nbind-address=192.0.2.1\nssl=1\nssl_ca = 'DIR/ca.pem'\n!include DIR/own\n",
    );
    file("more/b.cnf", "[tripleo]\nport=3307\n");
    file("more/a.cnf", "[tripleo]\nport=2\n");
    file("more/c.conf", "[tripleo]\nport=3\n");
    file(
        "own",
        "[tripleo]\n; another\npassword = \"p=w\"\ndatabase=d\nhost=filed\n",
    );
    let url =
        files.put("mysql+pymysql://u@h/?read_default_file=DIR/my.cnf&read_default_group=tripleo");
    assert_eq!(parts(&url), expected("u", Some("p=w"), "h", 3307, "d"));
    let (target, warnings) = mysql(&url);
    assert_eq!(target.tls.authorities, Some(files.path("ca.pem")));
    assert!(matches!(target.tls.mode, MySqlSslMode::VerifyIdentity));
    assert_eq!(warnings, [Warning::NotSupported("bind_address")]);

    let url = files.put("mysql+pymysql://:p@/d?read_default_file=DIR/my.cnf");
    assert_eq!(
        parts(&url),
        expected("nobody", Some("p"), "localhost", 1, "d")
    );
    // mysqlclient reads its own group beside the one that is named.
    let url = files.put("mysql:///?read_default_file=DIR/my.cnf&read_default_group=tripleo");
    assert_eq!(
        parts(&url),
        expected("nobody", Some("p=w"), "filed", 3307, "d")
    );

    let (_, warnings) = mysql(&files.put("mysql://u:p@h/d?read_default_file=DIR/none"));
    let path = files.path("none");
    let problem = "cannot be read (entity not found)".to_owned();
    assert_eq!(warnings, [Warning::OptionFile { path, problem }]);
    file("endless", "!include DIR/endless\n");
    let (_, warnings) = mysql(&files.put("mysql://u:p@h/d?read_default_file=DIR/endless"));
    assert_eq!(warnings.len(), 1, "{warnings:?}");
}

fn postgres(url: &str) -> (PostgresTarget, Vec<Warning>) {
    match parse(url).expect("a valid URL") {
        (Target::Postgres(target), warnings) => (*target, warnings),
        _ => panic!("not PostgreSQL: {url}"),
    }
}

#[test]
fn every_form_of_postgresql_is_taken() {
    let host = |name: &str, port| Host {
        name: Some(name.to_owned()),
        port,
    };
    for (url, hosts) in [
        ("postgresql://u:p@h/d", vec![host("h", None)]),
        (
            "postgresql+psycopg2://u:p@h:5433/d",
            vec![host("h", Some(5433))],
        ),
        ("postgres://u:p@[::1]:5433/d", vec![host("::1", Some(5433))]),
        ("postgresql:///d", vec![Host::default()]),
        (
            "postgresql://u@:5433/d",
            vec![Host {
                name: None,
                port: Some(5433),
            }],
        ),
        (
            "postgresql:///d?host=/run/pg&port=5433",
            vec![host("/run/pg", Some(5433))],
        ),
        (
            "postgresql:///d?host=a:1&host=b:2",
            vec![host("a", Some(1)), host("b", Some(2))],
        ),
        (
            "postgresql:///d?host=a,b&port=1,2",
            vec![host("a", Some(1)), host("b", Some(2))],
        ),
        (
            "postgresql:///d?host=a,b&port=1",
            vec![host("a", Some(1)), host("b", Some(1))],
        ),
        ("postgresql://h/d?hostaddr=::1", vec![host("::1", None)]),
    ] {
        let (target, warnings) = postgres(url);
        assert_eq!(target.hosts, hosts, "{url}");
        assert_eq!(target.database, "d", "{url}");
        assert_eq!(warnings, [], "{url}");
    }
    let (target, _) = postgres("postgresql://a%40b:p%2Fw@h/d%20e");
    assert_eq!(target.username.as_deref(), Some("a@b"));
    assert_eq!(target.password.expect("one").expose_secret(), "p/w");
    assert_eq!(target.database, "d e");
    let (target, _) = postgres("postgresql://h/x?user=u&password=p&dbname=d");
    assert_eq!(target.username.as_deref(), Some("u"));
    assert_eq!(target.password.expect("one").expose_secret(), "p");
    assert_eq!(target.database, "d");
}

#[test]
fn sslmode_and_its_files_are_as_libpq_has_them() {
    let files = Files::new();
    for (parameters, mode) in [
        ("", None),
        ("sslmode=disable&sslrootcert=DIR/none", Some("Disable")),
        ("sslmode=allow", Some("Prefer")),
        ("sslmode=require", Some("Require")),
        ("sslmode=require&sslrootcert=DIR/ca.pem", Some("VerifyCa")),
        (
            "sslmode=verify-full&sslrootcert=DIR/ca.pem",
            Some("VerifyFull"),
        ),
    ] {
        let (target, warnings) =
            postgres(&files.put(&format!("postgresql://u:p@h/d?{parameters}")));
        let found = target.tls.mode.map(|mode| format!("{mode:?}"));
        assert_eq!(found.as_deref(), mode, "{parameters}");
        assert_eq!(warnings, [], "{parameters}");
    }
    let url = "postgresql://u:p@h/d?sslmode=require&sslcert=DIR/cert.pem&sslkey=DIR/other.pem";
    let error = parse(&files.put(url)).err();
    assert!(
        matches!(
            &error,
            Some(ConnectionError::TlsFile {
                parameter: "sslkey",
                ..
            })
        ),
        "{error:?}"
    );
}

#[test]
fn settings_of_a_postgresql_session_are_taken_or_named() {
    let url = "postgresql://u:p@h/d?options=-c%20search_path%3Dcinder%20--statement-timeout%3D5s\
               &target_session_attrs=read-write&application_name=x&sslcrl=y&z=w";
    let (target, warnings) = postgres(url);
    assert!(target.must_write);
    let setting = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(
        target.settings,
        [
            setting("search_path", "cinder"),
            setting("statement_timeout", "5s")
        ]
    );
    assert_eq!(
        warnings,
        [
            Warning::NotSupported("sslcrl"),
            Warning::Ignored("z".into())
        ]
    );
    let (_, warnings) = postgres("postgresql://u:p@h/d?options=-d%203");
    assert_eq!(warnings, [Warning::NotSupported("options")]);
}

#[test]
fn three_slashes_are_a_relative_file_and_four_an_absolute_one() {
    for (url, path) in [
        ("sqlite:///cinder.sqlite", "cinder.sqlite"),
        (
            "sqlite:////var/lib/cinder/cinder.sqlite",
            "/var/lib/cinder/cinder.sqlite",
        ),
        ("sqlite+pysqlite:////a%20b", "/a b"),
    ] {
        let (Target::Sqlite(found), warnings) = parse(url).expect("a valid URL") else {
            panic!("not SQLite: {url}");
        };
        assert_eq!((found, warnings), (path.into(), vec![]), "{url}");
    }
}

#[test]
fn what_cannot_be_used_is_told_by_kind() {
    for (url, error) in [
        ("", ConnectionError::Malformed),
        ("mysql", ConnectionError::Malformed),
        ("mysql:/u:p@h/d", ConnectionError::Malformed),
        ("mysql://u:p@[::1/d", ConnectionError::Malformed),
        ("mysql://u:p@[::1]x/d", ConnectionError::Malformed),
        ("sqlite://file", ConnectionError::Malformed),
        ("sqlite://", ConnectionError::MissingDatabase),
        ("sqlite:///:memory:", ConnectionError::MissingDatabase),
        ("mysql://u:p@h", ConnectionError::MissingDatabase),
        ("mysql://u:p@h/", ConnectionError::MissingDatabase),
        (
            "mysql://u:p@h/?charset=utf8",
            ConnectionError::MissingDatabase,
        ),
        ("mysql://u:p@h:port/d", ConnectionError::BadPort),
        ("mysql://u:p@h:0/d", ConnectionError::BadPort),
        ("mysql://u:p@h:65536/d", ConnectionError::BadPort),
        ("mysql://u:%ff@h/d", ConnectionError::NotUtf8),
        ("oracle://u:p@h/d", ConnectionError::UnknownDialect),
        ("MYSQL://u:p@h/d", ConnectionError::UnknownDialect),
        ("postgresql://u:p@h", ConnectionError::MissingDatabase),
        ("postgresql://u:p@h:0/d", ConnectionError::BadPort),
        ("postgresql://u:p@/d?host=h:x", ConnectionError::BadPort),
        (
            "postgresql://u:p@/d?host=h&port=x",
            ConnectionError::BadPort,
        ),
        (
            "postgresql://u:p@h/d?sslmode=hidden",
            ConnectionError::BadValue {
                parameter: "sslmode",
                expected: "one of disable, allow, prefer, require, verify-ca, verify-full",
            },
        ),
        (
            "postgresql://u:p@h/d?target_session_attrs=standby",
            ConnectionError::BadValue {
                parameter: "target_session_attrs",
                expected: "any, read-write or primary, as rows are to be changed",
            },
        ),
        (
            "mysql://u:p@h/d?ssl_mode=hidden",
            ConnectionError::BadValue {
                parameter: "ssl_mode",
                expected: "one of DISABLED, PREFERRED, REQUIRED, VERIFY_CA, VERIFY_IDENTITY",
            },
        ),
    ] {
        assert_eq!(parse(url).err(), Some(error), "{url}");
    }
}

#[test]
fn nothing_of_a_url_is_printed() {
    let url = "mysql+pymysql://alice:hunter2@db.example.org/cinder";
    let (config, _) = ConnectionConfig::parse(&SecretString::from(url)).expect("valid");
    let printed = format!("{config:?}");
    for part in ["alice", "hunter2", "db.example.org", "cinder\""] {
        assert!(!printed.contains(part), "{printed}");
    }
}
