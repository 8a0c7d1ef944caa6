# What the fluentd of kolla-ansible makes of a log file: its records, as JSON, with the tag that
# each would be forwarded under.
#
#   ruby kolla_fluentd.rb PATH [ADDED.conf] <LOG
#
# PATH is where fluentd would find the log, ADDED.conf what an operator added to kolla's filters.
#
# The expressions are those of openstack/kolla-ansible, the same in 2024.1, 2025.1, 2025.2, 2026.1
# and in August 2026: conf/input/00-global.conf.j2 and conf/filter/01-rewrite.conf.j2 in
# ansible/roles/fluentd/templates (until 2025.1 ansible/roles/common/templates). They are Ruby's,
# and used as fluentd uses them: in_tail with its parser `multiline`, then rewrite_tag_filter.

require "json"
require "time"

FIRST_LINE = /^\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}.\d{3} \d+ \S+ \S+ \[.*\]/
RECORD = /^(?<Timestamp>\S+ \S+) (?<Pid>\d+) (?<log_level>\S+) (?<python_module>\S+) ((?:\[)(?:None|req-)(?<global_request_id>\S+)? (?:None|req-)(?<request_id>\S+) (?<user_id>\S+) (?<tenant_id>\S+) (?<domain_id>\S+) (?<system_scope>\S+) (?<user_domain>\S+) (?<project_domain>\S+)(?:\]))?(?<Payload>.*)?$/m
TIME = "%F %T.%L"

SOURCE = "kolla.*"
CINDER = /^(cinder-api|cinder-scheduler|cinder-manage|cinder-volume|cinder-backup|privsep-helper)$/
KOLLAS_MATCH = ["kolla.var.log.kolla.*.*.log", [["programname", CINDER, "openstack_python"],
                                                ["programname", /.+/, "unmatched"]]].freeze

# Lines up to the next first line are one record.
def records(log)
  records = []
  log.each_line(chomp: true) do |line|
    if FIRST_LINE.match?(line) || records.empty?
      records << line
    else
      records.last << "\n" << line
    end
  end
  records
end

def parsed(text)
  found = RECORD.match(text)
  return nil unless found && FIRST_LINE.match?(text)

  record = found.named_captures.compact
  record.merge("time" => Time.strptime(record["Timestamp"], TIME).to_f)
end

# The sections that rewrite tags, in the order in which fluentd tries them.
def matches(added)
  own = added.scan(/^<match (\S+)>$(.*?)^<\/match>$/m).map do |tag, body|
    rules = body.scan(/<rule>(.*?)<\/rule>/m).map do |(rule)|
      key, pattern, to = %w[key pattern tag].map { |name| rule[/^\s*#{name}\s+(.+)$/, 1] }
      [key, Regexp.new(pattern), to]
    end
    [tag, rules]
  end
  own << KOLLAS_MATCH
end

def tag_of(path, added)
  tag = SOURCE.sub("*", path.delete_prefix("/").tr("/", "."))
  # kolla's filter record_transformer adds this.
  fields = { "programname" => tag.split(".")[5] }
  _, rules = matches(added).find do |pattern, _|
    tag.match?(/\A#{Regexp.escape(pattern).gsub('\*', "[^.]+")}\z/)
  end
  rules.to_a.find { |key, pattern, _| fields[key]&.match?(pattern) }&.last
end

path, added = ARGV
tag = tag_of(path, added ? File.read(added) : "")
puts JSON.generate("tag" => tag, "records" => records($stdin.read).map { |text| parsed(text) })
