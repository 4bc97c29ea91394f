package packet

// This file has the words that may stand before a '(', by server. The
// end-to-end tests ask real servers whether they are what is said here.

// wordFlags says what a word may be.
type wordFlags uint8

const (
	// okMySQL, okMariaDB: on that server the word may stand before a '(' and is
	// surely no stored or loaded function there: it is a keyword, or a function
	// that is built in (which comes before any other of its name), depends on
	// nothing but its arguments, the data and the replayed state of a session,
	// and has no side effect. NOW, RAND and UUID give other values each time on
	// every server, so they count.
	okMySQL wordFlags = 1 << iota
	okMariaDB
	// okAdjacent: only without space before the '(', otherwise servers without
	// sql_mode IGNORE_SPACE take the word for the name of a stored function.
	okAdjacent
	// ofSession: a built-in function of the session or the server.
	ofSession
	// writeVerb: EXPLAIN of it is not EXPLAIN of a table.
	writeVerb
	// inUpperCase: a digest has it in upper case. It is no name, or at least none
	// whose case means something to a server.
	inUpperCase

	okBoth = okMySQL | okMariaDB
)

// Before a '(' on both servers: keywords.
const keywordsBoth = `
	do explain describe desc analyze group for select from join where having when then else case and or xor not on using over as exists any all some in between
	like rlike regexp escape div mod interval partition index key distinct distinctrow union except intersect json_table
	columns by limit offset against of row values value high_priority straight_join sql_no_cache sql_small_result
	sql_big_result sql_buffer_result match convert binary default
	char character varchar nchar varbinary decimal dec numeric fixed float double real datetime int integer bigint
	smallint tinyint mediumint bit signed unsigned text blob tinytext mediumtext longtext enum set`

// Before a '(' on both servers: functions. The later versions of MySQL 9 leave
// md5, sha and sha1 to a component, whose functions are as harmless.
const functionsBoth = `
	abs acos asin atan atan2 bit_count ceil ceiling conv cos cot crc32 degrees exp floor format greatest hex least ln log
	log10 log2 oct pi pow power radians rand round sign sin sqrt tan truncate
	ascii bin bit_length char_length character_length concat concat_ws elt export_set field find_in_set from_base64
	insert instr lcase left length locate lower lpad ltrim make_set octet_length ord quote repeat replace reverse right
	rpad rtrim soundex space strcmp substring_index to_base64 ucase unhex upper weight_string
	regexp_instr regexp_replace regexp_substr extractvalue updatexml
	addtime convert_tz current_date current_time current_timestamp date date_format datediff day dayname dayofmonth
	dayofweek dayofyear from_days from_unixtime get_format hour last_day localtime localtimestamp makedate maketime
	microsecond minute month monthname period_add period_diff quarter sec_to_time second str_to_date subtime time
	time_format time_to_sec timediff timestamp timestampadd timestampdiff to_days to_seconds unix_timestamp utc_date
	utc_time utc_timestamp week weekday weekofyear year yearweek
	if ifnull nullif coalesce isnull avg
	cume_dist dense_rank first_value lag last_value lead nth_value ntile percent_rank rank row_number
	aes_decrypt aes_encrypt compress uncompress uncompressed_length md5 sha sha1 sha2 random_bytes
	uuid inet_aton inet_ntoa inet6_aton inet6_ntoa is_ipv4 is_ipv4_compat is_ipv4_mapped is_ipv6
	name_const sleep benchmark charset coercibility collation database schema
	json_array json_array_append json_array_insert json_contains json_contains_path json_depth json_extract json_insert
	json_keys json_length json_merge json_merge_patch json_merge_preserve json_object json_overlaps json_pretty
	json_quote json_remove json_replace json_schema_valid json_search json_set json_type json_unquote json_valid
	json_value
	st_area st_asbinary st_asgeojson st_astext st_aswkb st_aswkt st_buffer st_centroid st_contains st_convexhull
	st_crosses st_difference st_dimension st_disjoint st_distance st_distance_sphere st_endpoint st_envelope st_equals
	st_exteriorring st_geomcollfromtext st_geomcollfromwkb st_geometrycollectionfromtext st_geometrycollectionfromwkb
	st_geometryfromtext st_geometryfromwkb st_geometryn st_geometrytype st_geomfromgeojson st_geomfromtext
	st_geomfromwkb st_interiorringn st_intersection st_intersects st_isclosed st_isempty st_issimple st_length
	st_linefromtext st_linefromwkb st_linestringfromtext st_linestringfromwkb st_numgeometries st_numinteriorrings
	st_numpoints st_overlaps st_pointfromtext st_pointfromwkb st_pointn st_polyfromtext st_polyfromwkb
	st_polygonfromtext st_polygonfromwkb st_srid st_startpoint st_symdifference st_touches st_union st_within st_x st_y
	mbrcontains mbrdisjoint mbrintersects mbroverlaps mbrtouches mbrwithin
	geometrycollection linestring multilinestring multipoint multipolygon point polygon`

// The same, on both servers, but only adjacent to the '('.
const functionsAdjacent = `
	adddate bit_and bit_or bit_xor cast count curdate curtime date_add date_sub extract group_concat json_arrayagg
	json_objectagg max mid min now position std stddev stddev_pop stddev_samp subdate substr substring sum sysdate trim
	var_pop var_samp variance`

// Before a '(' on MySQL only.
const wordsMySQL = `
	lateral rollup cube
	any_value bin_to_uuid uuid_to_bin is_uuid grouping format_bytes format_pico_time regexp_like
	json_schema_validation_report json_storage_free json_storage_size statement_digest statement_digest_text
	gtid_subset gtid_subtract
	st_buffer_strategy st_frechetdistance st_geohash st_geomcollfromtxt st_hausdorffdistance st_isvalid
	st_latfromgeohash st_latitude st_lineinterpolatepoint st_lineinterpolatepoints st_longfromgeohash st_longitude
	st_makeenvelope st_mlinefromtext st_mlinefromwkb st_mpointfromtext st_mpointfromwkb st_mpolyfromtext
	st_mpolyfromwkb st_multilinestringfromtext st_multilinestringfromwkb st_multipointfromtext st_multipointfromwkb
	st_multipolygonfromtext st_multipolygonfromwkb st_numinteriorring st_pointatdistance st_pointfromgeohash
	st_simplify st_swapxy st_transform st_validate
	mbrcoveredby mbrcovers mbrequals geomcollection
	string_to_vector to_vector vector_to_string from_vector vector_dim`

// Before a '(' on MariaDB only.
const wordsMariaDB = `
	sql_cache within percentile_cont percentile_disc median
	add_months chr column_add column_check column_create column_delete column_exists column_get column_json column_list crc32c
	decode encode json_array_intersect json_compact json_detailed json_equals json_exists json_key_value json_loose
	json_normalize json_object_filter_keys json_object_to_array json_query kdf lengthb natural_sort_key nvl nvl2
	old_password password sformat sys_guid to_char uuid_v4 uuid_v7 format_bytes format_pico_time
	vec_distance vec_distance_cosine vec_distance_euclidean vec_fromtext vec_totext
	st_boundary st_isring st_pointonsurface st_relate mbrequal
	area asbinary astext aswkb aswkt centroid contains crosses dimension disjoint endpoint envelope equals exteriorring
	geomcollfromtext geomcollfromwkb geometrycollectionfromtext geometrycollectionfromwkb geometryfromtext
	geometryfromwkb geometryn geometrytype geomfromtext geomfromwkb glength interiorringn intersects isclosed isempty
	issimple linefromtext linefromwkb linestringfromtext linestringfromwkb mlinefromtext mlinefromwkb mpointfromtext
	mpointfromwkb mpolyfromtext mpolyfromwkb multilinestringfromtext multilinestringfromwkb multipointfromtext
	multipointfromwkb multipolygonfromtext multipolygonfromwkb numgeometries numinteriorrings numpoints overlaps
	pointfromtext pointfromwkb pointn polyfromtext polyfromwkb polygonfromtext polygonfromwkb srid startpoint touches
	st_mlinefromtext st_mlinefromwkb st_mpointfromtext st_mpointfromwkb st_mpolyfromtext st_mpolyfromwkb
	st_multilinestringfromtext st_multilinestringfromwkb st_multipointfromtext st_multipointfromwkb
	st_multipolygonfromtext st_multipolygonfromwkb`

// Functions of the session or the server. Those that are not built in on one of
// the servers are here for the sake of the reason.
const functionsSession = `
	get_lock release_lock release_all_locks is_free_lock is_used_lock last_insert_id found_rows row_count connection_id
	user current_user session_user system_user current_role version uuid_short load_file master_pos_wait
	source_pos_wait master_gtid_wait wait_for_executed_gtid_set wait_until_sql_thread_after_gtids binlog_gtid_pos
	wsrep_last_seen_gtid wsrep_last_written_gtid wsrep_sync_wait_upto_gtid nextval lastval setval currval
	roles_graphml ps_current_thread_id ps_thread_id icu_version validate_password_strength encrypt
	des_encrypt des_decrypt`

const verbsWriting = `insert replace update delete load call do set alter create drop truncate analyze execute prepare`

// Words that cannot be names without quotes on one of the servers, and a few that
// hardly ever are. Of these the digest does not keep the case.
const keywordsDigest = `
	accessible add all alter analyze and as asc asensitive before between bigint binary blob both by call cascade case
	change char character check collate column condition constraint continue convert create cross current_date
	current_time current_timestamp current_user cursor databases day_hour day_microsecond day_minute day_second dec
	decimal declare default delayed delete desc describe deterministic distinct distinctrow div double drop dual each
	else elseif enclosed escaped except exists exit explain fetch float float4 float8 for force foreign from fulltext
	grant group having high_priority hour_microsecond hour_minute hour_second if ignore in index infile inner inout
	insensitive insert int int1 int2 int3 int4 int8 integer intersect interval into is iterate join key keys kill
	leading leave left like limit linear lines load localtime localtimestamp lock long longblob longtext loop
	low_priority match mediumblob mediumint mediumtext middleint minute_microsecond minute_second mod modifies natural
	no_write_to_binlog not null numeric on optimize option optionally or order out outer outfile over partition
	precision primary procedure purge range read reads real recursive references regexp release rename repeat replace
	require resignal restrict return revoke right rlike schemas second_microsecond select sensitive separator set show
	signal smallint spatial specific sql sqlexception sqlstate sqlwarning sql_big_result sql_calc_found_rows
	sql_small_result ssl starting straight_join table terminated then tinyblob tinyint tinytext to trailing trigger
	true false undo union unique unlock unsigned update usage use using utc_date utc_time utc_timestamp values varbinary
	varchar varcharacter varying when where while window with write xor year_month zerofill
	begin commit rollback savepoint start transaction work offset duplicate truncate temporary escape end share nowait
	skip locked consistent snapshot isolation level repeatable committed uncommitted serializable any some against
	global session local names prepare execute deallocate tables columns fields`
