//! What a wrong command line or configuration gets: one clear line for each fault, an exit code of
//! its own, and never the value.

use std::net::TcpListener;

use crate::running::{Place, ended, program, run};

const DATABASE: &str = "[database]\nconnection = mysql+pymysql://c:s3cr3t@h/cinder\n";

/// Runs with this configuration, and expects exit code 78 and these lines, in which `FILE` stands
/// for the file.
fn refused(text: &str, expected: &[&str]) {
    let place = Place::new();
    let file = place.write("cinder.conf", text);
    let (code, said) = ended(run(&file));
    let said = said.replace(&file.display().to_string(), "FILE");
    let said = said.replace("cinder-key-migrator: ", "");
    assert_eq!(said.lines().collect::<Vec<_>>(), expected);
    assert_eq!(code, 78);
    assert!(!said.contains("s3cr3t"), "{said}");
}

#[test]
fn an_unknown_reference_is_named_with_its_place() {
    refused(
        &format!("[DEFAULT]\n# a comment\nhost = $nobody\n{DATABASE}"),
        &[
            "FILE:3: [DEFAULT] host: `$nobody` refers to an option that is not known; write `$$` \
             for a dollar sign",
        ],
    );
}

#[test]
fn an_unknown_reference_in_a_secret_is_not_shown() {
    refused(
        "[database]\nconnection = mysql://c:$s3cr3t@h/cinder\n",
        &[
            "FILE:2: [database] connection: a `$` begins a reference to an option that is not \
             known; write `$$` for a dollar sign",
        ],
    );
}

#[test]
fn bad_digits_of_the_fixed_key_are_told_by_kind() {
    refused(
        &format!("{DATABASE}[key_manager]\nfixed_key = s3cr3t\n"),
        &[
            "FILE:4: [key_manager] fixed_key: a character that is no hexadecimal digit, expected \
           only 0-9 and a-f; copy the key from a cinder.conf or nova.conf that works",
        ],
    );
    refused(
        &format!("{DATABASE}[keymgr]\nfixed_key = abc\n"),
        &[
            "FILE:4: [key_manager] fixed_key: an odd number of hexadecimal digits, expected two for \
           each byte; copy the key from a cinder.conf or nova.conf that works",
        ],
    );
}

#[test]
fn a_configuration_without_a_connection_names_the_option() {
    refused(
        "[DEFAULT]\nhost = host1\n",
        &[
            "[database] connection is not set in FILE; set it there or as environment variable \
           OS_DATABASE__CONNECTION",
        ],
    );
}

#[test]
fn a_parameter_of_the_database_url_that_cannot_be_used_is_named_without_its_url() {
    refused(
        "[database]\nconnection = mysql+pymysql://c:s3cr3t@h/d?ssl_ca=/nonexistent/ca.pem\n",
        &[
            "FILE:2: [database] connection: the database URL cannot be used; parameter 'ssl_ca' of \
           the database URL: /nonexistent/ca.pem cannot be read (entity not found)",
        ],
    );
    refused(
        "[database]\nconnection = postgresql://c:s3cr3t@h/d?sslmode=s3cr3t\n",
        &[
            "FILE:2: [database] connection: the database URL cannot be used; parameter 'sslmode' of \
           the database URL: expected one of disable, allow, prefer, require, verify-ca, \
           verify-full",
        ],
    );
}

#[test]
fn an_unknown_dialect_names_those_that_are_known() {
    refused(
        "[database]\nconnection = oracle://c:s3cr3t@h/cinder\n",
        &[
            "FILE:2: [database] connection: the database URL cannot be used; unknown dialect in the \
           database URL: it must begin with mysql+pymysql://, mysql://, postgresql+psycopg2://, \
           postgresql:// or sqlite:///",
        ],
    );
}

#[test]
fn missing_parts_of_signing_in_are_named() {
    refused(
        &format!(
            "{DATABASE}[key_manager]\nfixed_key = 00\n[keystone_authtoken]\n\
             auth_url = http://k:5000\nusername = cinder\nuser_domain_id = default\n\
             project_name = service\nproject_domain_id = default\n"
        ),
        &[
            "[keystone_authtoken] auth_type is not set in FILE; set it there or as environment \
             variable OS_KEYSTONE_AUTHTOKEN__AUTH_TYPE",
            "[keystone_authtoken] password is not set in FILE; set it there or as environment \
             variable OS_KEYSTONE_AUTHTOKEN__PASSWORD",
        ],
    );
}

#[test]
fn another_way_to_sign_in_is_refused() {
    refused(
        &format!(
            "{DATABASE}[key_manager]\nfixed_key = 00\n[keystone_authtoken]\n\
             auth_type = v3kerberos\nauth_url = http://k:5000\nuser_id = u\nproject_id = p\n\
             password = s3cr3t\n"
        ),
        &[
            "FILE:6: [keystone_authtoken] auth_type: expected password, v3password or \
           v3applicationcredential; this program cannot sign in in another way",
        ],
    );
}

#[test]
fn certificates_that_cannot_be_read_are_named_with_the_option() {
    refused(
        &format!(
            "{DATABASE}[key_manager]\nfixed_key = 00\n[keystone_authtoken]\n\
             auth_type = password\nauth_url = http://k:5000\nuser_id = u\nproject_id = p\n\
             password = s3cr3t\n[barbican]\nverify_ssl_path = /nonexistent/ca.pem\n"
        ),
        &[
            "FILE:12: [barbican] verify_ssl_path: cannot read /nonexistent/ca.pem: No such file or \
           directory (os error 2)",
        ],
    );
}

#[test]
fn a_file_that_breaks_the_grammar_is_named_with_the_line() {
    let place = Place::new();
    let file = place.write("cinder.conf", "[DEFAULT]\nhost host1 s3cr3t\n");
    let (code, said) = ended(run(&file));
    assert_eq!(code, 78);
    let start = format!("cinder-key-migrator: {}:2: ", file.display());
    assert!(said.starts_with(&start), "{said}");
    assert!(!said.contains("s3cr3t"), "{said}");
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let (code, said) = ended(program(&[
        "run",
        "--config-file",
        "/nonexistent/cinder.conf",
    ]));
    assert_eq!(code, 78);
    assert_eq!(
        said,
        "cinder-key-migrator: cannot read the configuration at /nonexistent/cinder.conf: No such \
         file or directory (os error 2)\n"
    );
}

#[test]
fn a_log_directory_that_cannot_be_written_names_the_option() {
    let text = format!("[DEFAULT]\nlog_dir = /nonexistent\n{DATABASE}");
    refused(
        &text,
        &[
            "cannot open the log file /nonexistent/cinder-key-migrator.log: No such file or \
           directory (os error 2); make it writable, or change [DEFAULT] log_dir",
        ],
    );
}

#[test]
fn levels_that_are_none_name_the_variable() {
    let place = Place::new();
    let mut command = run(&place.write("cinder.conf", DATABASE));
    command.env("CINDER_KEY_MIGRATOR_LOG", "cinder=loud");
    let (code, said) = ended(command);
    assert_eq!(code, 78);
    assert!(
        said.contains("environment variable CINDER_KEY_MIGRATOR_LOG: expected"),
        "{said}"
    );
}

#[test]
fn an_address_in_use_names_the_option() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("an address");
    let place = Place::new();
    let text = format!("{DATABASE}[key_migrator]\nlisten = {address}\n");
    let (code, said) = ended(run(&place.write("cinder.conf", &text)));
    assert_eq!(code, 78);
    let last = said.lines().last().expect("a line");
    assert_eq!(
        last,
        format!(
            "cinder-key-migrator: [key_migrator] listen: cannot serve HTTP at {address}: Address \
             already in use (os error 98); end what uses this address, or set another one"
        )
    );
}

#[test]
fn a_wrong_command_line_exits_with_64() {
    for arguments in [
        &[][..],
        &["run", "--limit", "3"],
        &["run", "--service", "scheduler"],
        &["run", "--no-such-option"],
        &["walk"],
        &["healthcheck", "--once"],
    ] {
        let (code, said) = ended(program(arguments));
        assert_eq!(code, 64, "{arguments:?}");
        assert!(
            said.contains("--help") || said.contains("Usage: "),
            "{said}"
        );
    }
}

#[test]
fn help_and_version_are_no_errors() {
    for argument in ["--help", "--version"] {
        let (code, said) = ended(program(&[argument]));
        assert_eq!((code, said.as_str()), (0, ""));
    }
}

#[test]
fn healthcheck_looks_at_nothing_but_the_address() {
    let place = Place::new();
    let socket = place.path("m.sock");
    let text = format!("[key_migrator]\nlisten = unix:{}\n", socket.display());
    let file = place.write("cinder.conf", &text);
    let file = file.to_str().expect("a path");
    let (code, said) = ended(program(&["healthcheck", "--config-file", file]));
    assert_eq!(code, 1);
    let start = format!(
        "cinder-key-migrator: no answer from unix:{}: ",
        socket.display()
    );
    assert!(said.starts_with(&start), "{said}");

    let file = place.write("bad.conf", "[key_migrator]\nlisten = nowhere\n");
    let file = file.to_str().expect("a path");
    let (code, _) = ended(program(&["healthcheck", "--config-file", file]));
    assert_eq!(code, 78);
}

/// Runs a command about this file, and expects this exit code and line.
fn told(arguments: &[&str], file: &std::path::Path, code: i32, line: &str) {
    let mut command = program(arguments);
    command.arg(file);
    let (ended_with, said) = ended(command);
    let said = said.replace(&file.display().to_string(), "FILE");
    assert!(said.contains(line), "{said}");
    assert_eq!(ended_with, code, "{said}");
    assert!(!said.contains("5ca1ab1e"), "{said}");
}

#[test]
fn a_file_whose_key_is_to_go_must_be_one_that_a_service_could_read() {
    let place = Place::new();
    let remove = ["fixed-key", "remove"];
    told(
        &remove,
        &place.path("none.conf"),
        2,
        "cannot read FILE: No such file",
    );
    told(
        &remove,
        std::path::Path::new("/dev/null"),
        2,
        "FILE is no regular file",
    );
    let text = "[key_manager]\nfixed_key = 5ca1ab1e\nnonsense\n";
    let file = place.write("bad.conf", text);
    told(&remove, &file, 2, "FILE:3: expected a [section]");
    let restore = ["fixed-key", "restore"];
    told(&restore, &file, 2, "there is no backup of FILE in ");
    told(
        &["fixed-key", "remove", "--force", "all"],
        &file,
        64,
        "volumes_remaining",
    );
}
