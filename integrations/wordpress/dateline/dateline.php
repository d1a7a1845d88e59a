<?php
/**
 * Plugin Name: Dateline
 * Description: Sends every published story, each change, correction and takedown to a Dateline desk, which brings it to its partner outlets.
 * Version: 1.1.0
 * Requires at least: 5.7
 * Requires PHP: 7.2
 * License: GPL-2.0-or-later
 * License URI: https://www.gnu.org/licenses/gpl-2.0.html
 * Text Domain: dateline
 *
 * Each change marks its post as due, in a table of the plug-in's own. The post is then sent as it is at that moment,
 * after the editor has the answer, and by WP-Cron again until Dateline takes it. Every change has a version, which is
 * taken before the post is read: the highest one has the newest state, whichever request arrives last.
 */

namespace Dateline;

defined( 'ABSPATH' ) || exit;

const VERSION         = '1.1.0';
const TABLE_VERSION   = '1';
const CRON            = 'dateline_send_due';
const CLAIM_SECONDS   = 120;
const TIMEOUT         = 8;
const REQUEST_SECONDS = 6;
const CRON_SECONDS    = 45;

/** The fields that editors fill in: meta key => label, help, number of lines, longest text. */
function fields() {
	/* translators: %s: a time zone */
	$zone = sprintf( __( 'In the time of this site: %s. The site itself shows the story.', 'dateline' ), wp_timezone_string() );
	return array(
		'_dateline_correction_note'   => array( __( 'Correction', 'dateline' ), __( 'Readers see it as long as it stands here.', 'dateline' ), 3, 2000 ),
		'_dateline_kill_reason'       => array( __( 'Kill: the reason', 'dateline' ), __( 'As long as it stands here, no outlet may use the story.', 'dateline' ), 3, 2000 ),
		'_dateline_embargo_until'     => array( __( 'Embargo for outlets until', 'dateline' ), $zone, 1, 16 ),
		'_dateline_origin_name'       => array( __( 'Taken over from', 'dateline' ), __( 'The name of the first publisher.', 'dateline' ), 1, 500 ),
		'_dateline_origin_url'        => array( __( 'Address of the original', 'dateline' ), '', 1, 2048 ),
		'_dateline_original_author'   => array( __( 'Original author', 'dateline' ), '', 1, 500 ),
		'_dateline_original_headline' => array( __( 'Original headline', 'dateline' ), '', 1, 500 ),
		'_dateline_language'          => array( __( 'Language', 'dateline' ), __( 'If it is not that of this site: ur, zh-Hans.', 'dateline' ), 1, 35 ),
	);
}

/* ---- Settings. A constant of wp-config.php comes before the settings page. ---- */

function settings() {
	$kept = get_option( 'dateline_settings' );
	$kept = is_array( $kept ) ? $kept : array();
	return array(
		'url'    => defined( 'DATELINE_URL' ) ? (string) constant( 'DATELINE_URL' ) : (string) ( $kept['url'] ?? '' ),
		'secret' => defined( 'DATELINE_SECRET' ) ? (string) constant( 'DATELINE_SECRET' ) : (string) ( $kept['secret'] ?? '' ),
		'types'  => array_filter( preg_split( '/[\s,]+/', (string) ( $kept['types'] ?? 'post' ) ) ) ?: array( 'post' ),
	);
}

function table() {
	global $wpdb;
	return $wpdb->prefix . 'dateline';
}

function install() {
	global $wpdb;
	if ( get_option( 'dateline_table' ) === TABLE_VERSION ) {
		return;
	}
	require_once ABSPATH . 'wp-admin/includes/upgrade.php';
	dbDelta(
		'CREATE TABLE ' . table() . " (
post_id bigint(20) unsigned NOT NULL,
version bigint(20) unsigned NOT NULL,
due int(10) unsigned DEFAULT NULL,
tries int(10) unsigned NOT NULL DEFAULT 0,
kill_reason text,
state varchar(20) NOT NULL DEFAULT '',
answer text,
answered int(10) unsigned DEFAULT NULL,
PRIMARY KEY  (post_id),
KEY due (due)
) " . $wpdb->get_charset_collate() . ';'
	);
	if ( $wpdb->get_var( $wpdb->prepare( 'SHOW TABLES LIKE %s', $wpdb->esc_like( table() ) ) ) === table() ) {
		update_option( 'dateline_table', TABLE_VERSION );
	}
}

/* ---- A change marks its post. ---- */

/** Milliseconds, so that versions go on rising after the table was lost or restored. */
function now_version() {
	return (int) round( microtime( true ) * 1000 );
}

/** Gives the post a version above all before, in one statement, and makes it due. Not by ON DUPLICATE KEY, which SQLite has not. */
function mark( $post_id, $kill_reason = '' ) {
	global $wpdb;
	$insert = $wpdb->prepare( 'INSERT IGNORE INTO ' . table() . ' (post_id, version, due) VALUES (%d, %d, %d)', $post_id, now_version(), time() );
	if ( false === $wpdb->query( $insert ) ) {
		// A database that was restored may lack the table.
		delete_option( 'dateline_table' );
		install();
		$wpdb->query( $insert );
	}
	$wpdb->query(
		$wpdb->prepare(
			'UPDATE ' . table() . ' SET version = GREATEST(version + 1, %d), due = %d, tries = 0, kill_reason = %s WHERE post_id = %d',
			now_version(),
			time(),
			$kill_reason,
			$post_id
		)
	);
	marked( $post_id );
}

/** The posts that this request has marked; they are sent at its end. */
function marked( $post_id = null ) {
	static $ids = array();
	if ( null !== $post_id ) {
		$ids[ (int) $post_id ] = true;
	}
	return array_keys( $ids );
}

function row( $post_id ) {
	global $wpdb;
	return $wpdb->get_row( $wpdb->prepare( 'SELECT * FROM ' . table() . ' WHERE post_id = %d', $post_id ) );
}

/** Whether readers without an account see it. A password, or any status that is not public, makes it gone. */
function is_public( $post ) {
	$status = $post instanceof \WP_Post ? get_post_status_object( $post->post_status ) : null;
	$public = $status && $status->public && '' === $post->post_password && in_array( $post->post_type, settings()['types'], true );
	return (bool) apply_filters( 'dateline_is_public', $public, $post );
}

function after_insert( $post_id, $post, $update = true, $before = null ) {
	if ( is_public( $post ) || row( $post_id ) || ( $before instanceof \WP_Post && is_public( $before ) ) ) {
		mark( $post_id );
	}
}

function before_delete( $post_id, $post = null ) {
	$post = $post instanceof \WP_Post ? $post : get_post( $post_id );
	if ( row( $post_id ) || is_public( $post ) ) {
		mark( $post_id, (string) get_post_meta( $post_id, '_dateline_kill_reason', true ) );
	}
}

/** A category that is deleted, or set by a program, moves its posts without saving them. */
function terms_set( $post_id, $terms, $tt_ids, $taxonomy, $append, $old_tt_ids ) {
	if ( in_array( $taxonomy, array( 'category', 'post_tag' ), true ) && $tt_ids != $old_tt_ids && row( $post_id ) && ! doing_action( 'save_post' ) ) {
		mark( $post_id );
	}
}

add_action( 'wp_after_insert_post', __NAMESPACE__ . '\after_insert', 100, 4 );
add_action( 'before_delete_post', __NAMESPACE__ . '\before_delete', 10, 2 );
add_action( 'set_object_terms', __NAMESPACE__ . '\terms_set', 10, 6 );

/* ---- A post as Dateline's own JSON. ---- */

function plain( $html ) {
	return trim( html_entity_decode( wp_strip_all_tags( (string) $html ), ENT_QUOTES | ENT_HTML5, 'UTF-8' ) );
}

function term_words( $post_id, $taxonomy ) {
	$terms = get_the_terms( $post_id, $taxonomy );
	return is_array( $terms ) ? $terms : array();
}

/** Slugs, with other scripts as themselves: WordPress keeps them percent-encoded. An SEO plug-in's main category comes first. */
function sections( $post_id ) {
	$main  = (int) get_post_meta( $post_id, '_yoast_wpseo_primary_category', true );
	$first = array();
	$slugs = array();
	foreach ( term_words( $post_id, 'category' ) as $term ) {
		if ( $term->term_id === $main ) {
			$first[] = rawurldecode( $term->slug );
		} else {
			$slugs[] = rawurldecode( $term->slug );
		}
	}
	return array_merge( $first, $slugs );
}

function authors( $post ) {
	$users = function_exists( 'get_coauthors' ) ? get_coauthors( $post->ID ) : array( get_userdata( $post->post_author ) );
	$names = array();
	foreach ( $users as $user ) {
		if ( is_object( $user ) && plain( $user->display_name ?? '' ) !== '' ) {
			$names[] = array( 'name' => plain( $user->display_name ) );
		}
	}
	return $names;
}

function images( $post_id ) {
	$id     = (int) get_post_thumbnail_id( $post_id );
	$source = $id ? wp_get_attachment_image_src( $id, 'full' ) : false;
	if ( ! $source ) {
		return array();
	}
	$image = array(
		'url'     => $source[0],
		'alt'     => plain( get_post_meta( $id, '_wp_attachment_image_alt', true ) ),
		'caption' => plain( wp_get_attachment_caption( $id ) ),
		'type'    => (string) get_post_mime_type( $id ),
	);
	if ( $source[1] > 1 && $source[2] > 1 ) {
		$image += array( 'width' => (int) $source[1], 'height' => (int) $source[2] );
	}
	return array( $image );
}

/** The text as the site shows it: blocks and short codes are done, the parts of a long story are one. */
function body( $post ) {
	$outer           = $GLOBALS['post'] ?? null;
	$GLOBALS['post'] = $post; // phpcs:ignore WordPress.WP.GlobalVariablesOverride
	setup_postdata( $post );
	$body = apply_filters( 'the_content', str_replace( '<!--nextpage-->', '', $post->post_content ) );
	$GLOBALS['post'] = $outer; // phpcs:ignore WordPress.WP.GlobalVariablesOverride
	if ( $outer instanceof \WP_Post ) {
		setup_postdata( $outer );
	}
	return $body;
}

function rfc3339( $timestamp ) {
	return gmdate( 'Y-m-d\TH:i:s\Z', $timestamp );
}

/** The embargo in UTC; '' without one, null if it is no time. */
function embargo( $text ) {
	if ( '' === $text ) {
		return '';
	}
	foreach ( array( 'Y-m-d H:i', 'Y-m-d\TH:i' ) as $form ) {
		$time = \DateTimeImmutable::createFromFormat( '!' . $form, $text, wp_timezone() );
		if ( $time && $time->format( $form ) === $text ) {
			return rfc3339( $time->getTimestamp() );
		}
	}
	return null;
}

/** The present state of a post, or of one that is gone. Null while its embargo cannot be read: then nothing is sent. */
function article( $post_id, $row ) {
	$post = get_post( $post_id );
	$meta = function ( $name ) use ( $post_id ) {
		return trim( (string) get_post_meta( $post_id, '_dateline_' . $name, true ) );
	};
	$kill    = $post ? $meta( 'kill_reason' ) : trim( (string) $row->kill_reason );
	$article = array(
		'id'      => (string) $post_id,
		'version' => (int) $row->version,
	);
	if ( '' !== $kill ) {
		return $article + array( 'status' => 'killed', 'kill_reason' => $kill );
	}
	if ( ! is_public( $post ) ) {
		return $article + array( 'status' => 'unpublished' );
	}
	$embargo = embargo( $meta( 'embargo_until' ) );
	if ( null === $embargo ) {
		return null;
	}
	$published = get_post_timestamp( $post );
	$modified  = get_post_timestamp( $post, 'modified' );
	$article  += array(
		'headline'          => plain( get_the_title( $post ) ),
		'summary'           => mb_substr( plain( $post->post_excerpt ), 0, 2000 ),
		'body_html'         => body( $post ),
		'url'               => get_permalink( $post ),
		'language'          => $meta( 'language' ) ?: ( function_exists( 'pll_get_post_language' ) ? str_replace( '_', '-', (string) pll_get_post_language( $post_id, 'locale' ) ) : '' ) ?: get_bloginfo( 'language' ),
		'sections'          => sections( $post_id ),
		'keywords'          => array_map(
			function ( $term ) {
				return plain( $term->name );
			},
			term_words( $post_id, 'post_tag' )
		),
		'authors'           => authors( $post ),
		'images'            => images( $post_id ),
		'published_at'      => $published ? rfc3339( $published ) : '',
		// Of a post that was scheduled, WordPress's own time of the last change may lie before its publication.
		'updated_at'        => $modified ? rfc3339( min( time(), max( $modified, (int) $published ) ) ) : '',
		'correction_note'   => $meta( 'correction_note' ),
		'embargo_until'     => $embargo,
		'original_author'   => $meta( 'original_author' ),
		'original_headline' => $meta( 'original_headline' ),
	);
	if ( '' !== $meta( 'origin_name' ) ) {
		$article['origin'] = array_filter( array( 'name' => $meta( 'origin_name' ), 'url' => $meta( 'origin_url' ) ) );
	}
	$article = apply_filters( 'dateline_article', $article, $post );
	return array_filter(
		$article,
		function ( $value ) {
			return '' !== $value && array() !== $value && null !== $value;
		}
	);
}

/* ---- Sending, signed as Standard Webhooks has it. ---- */

function signature( $secret, $id, $time, $body ) {
	$key = base64_decode( preg_replace( '/^whsec_/', '', trim( $secret ) ) );
	return 'v1,' . base64_encode( hash_hmac( 'sha256', "$id.$time.$body", $key, true ) );
}

/** Takes the row for this process. False: another has it, or it has changed. */
function claim( $row ) {
	global $wpdb;
	return 1 === $wpdb->query(
		$wpdb->prepare(
			'UPDATE ' . table() . ' SET due = %d, tries = tries + 1 WHERE post_id = %d AND version = %d AND due = %d AND tries = %d',
			time() + CLAIM_SECONDS,
			$row->post_id,
			$row->version,
			$row->due,
			$row->tries
		)
	);
}

/** Writes the answer down. What was marked again meanwhile stays due. */
function settle( $row, $state, $answer, $again_in = null ) {
	global $wpdb;
	$due = null === $again_in ? 'NULL' : (string) (int) ( time() + $again_in );
	$wpdb->query(
		$wpdb->prepare(
			'UPDATE ' . table() . " SET state = %s, answer = %s, answered = %d, due = $due WHERE post_id = %d AND version = %d", // phpcs:ignore WordPress.DB.PreparedSQL
			$state,
			mb_substr( $answer, 0, 2000 ),
			time(),
			$row->post_id,
			$row->version
		)
	);
}

/** The answer to a signed request, or WordPress's own error. */
function post_signed( $settings, $url, $id, $body ) {
	$time = (string) time();
	// Only who may write wp-config.php may name a port or a private address that WordPress would not send to.
	$post = defined( 'DATELINE_URL' ) ? 'wp_remote_post' : 'wp_safe_remote_post';
	return $post(
		$url,
		array(
			'timeout'     => TIMEOUT,
			'redirection' => 0,
			'body'        => $body,
			'headers'     => array(
				'Content-Type'      => 'application/json',
				'webhook-id'        => $id,
				'webhook-timestamp' => $time,
				'webhook-signature' => signature( $settings['secret'], $id, $time, $body ),
			),
		)
	);
}

/** Sends one post as it is now. False if Dateline cannot be reached: then the others wait, too. */
function send( $row ) {
	$settings = settings();
	clean_post_cache( (int) $row->post_id );
	$article = article( (int) $row->post_id, $row );
	$wait    = min( 3600, 60 * ( 2 ** min( (int) $row->tries, 6 ) ) );
	if ( null === $article ) {
		settle( $row, 'waiting', __( 'The embargo is no time: write it like 2026-01-31 18:00.', 'dateline' ), $wait );
		return true;
	}
	$gone = isset( $article['status'] );
	$wait = $gone ? min( $wait, 300 ) : $wait;
	$body = wp_json_encode( $article, JSON_UNESCAPED_UNICODE | JSON_UNESCAPED_SLASHES | JSON_INVALID_UTF8_SUBSTITUTE );
	$response = post_signed( $settings, $settings['url'], 'wp_' . sha1( $body ), $body );
	if ( is_wp_error( $response ) ) {
		settle( $row, 'waiting', $response->get_error_message(), $wait );
		return false;
	}
	$status = (int) wp_remote_retrieve_response_code( $response );
	$answer = json_decode( wp_remote_retrieve_body( $response ), true );
	$answer = is_array( $answer ) ? $answer : array();
	if ( $status >= 200 && $status < 300 && isset( $answer['outcome'] ) ) {
		settle( $row, state_after( $article, $answer['outcome'] ), answer_words( $answer ) );
		return true;
	}
	if ( $gone && 422 === $status ) {
		settle( $row, $article['status'], __( 'Dateline never had it.', 'dateline' ) );
		return true;
	}
	$again = max( $wait, min( 3600, (int) wp_remote_retrieve_header( $response, 'retry-after' ) ) );
	settle( $row, $status < 500 && 429 !== $status ? 'refused' : 'waiting', $status . ' ' . problem_words( $answer ), $again );
	return in_array( $status, array( 409, 413, 422 ), true );
}

/** What Dateline has now. An adapter may hold or ignore a story that it has taken, and Dateline tries it again itself. */
function state_after( $article, $outcome ) {
	if ( 'stale' === $outcome ) {
		return 'stale';
	}
	if ( isset( $article['status'] ) ) {
		return $article['status'];
	}
	if ( in_array( $outcome, array( 'held', 'ignored' ), true ) ) {
		return 'held';
	}
	return isset( $article['embargo_until'] ) && strtotime( $article['embargo_until'] ) > time() ? 'embargoed' : 'public';
}

function answer_words( $answer ) {
	$words    = (string) $answer['outcome'];
	$revision = (int) ( $answer['revision'] ?? $answer['articles'][0]['revision'] ?? 0 );
	if ( $revision ) {
		$words .= sprintf( ', %s %d', __( 'revision', 'dateline' ), $revision );
	}
	if ( ! empty( $answer['why'] ) ) {
		$words .= "\n" . $answer['why'];
	}
	foreach ( (array) ( $answer['warnings'] ?? array() ) as $warning ) {
		$detail = (string) ( $warning['detail'] ?? '' );
		// Each block has a class, and no outlet wants it.
		if ( ! preg_match( '/^removed: attribute class \(\d+\)$/', $detail ) ) {
			$words .= "\n" . trim( ( $warning['pointer'] ?? '' ) . ' ' . $detail );
		}
	}
	return $words;
}

/** Each error by itself; without any, the problem as a whole. */
function problem_words( $answer ) {
	$words = array();
	foreach ( (array) ( $answer['errors'] ?? array() ) as $error ) {
		$words[] = trim( ( $error['pointer'] ?? '' ) . ' ' . ( $error['detail'] ?? '' ) );
	}
	return implode( "\n", $words ) ?: (string) ( $answer['detail'] ?? __( 'The answer is not Dateline\'s: is the address right?', 'dateline' ) );
}

function is_set_up() {
	return '' !== settings()['url'] && '' !== settings()['secret'];
}

/** After the editor has the answer, as far as the server can do that. What does not go at once, WP-Cron sends. */
function send_marked() {
	$ids = marked();
	if ( ! $ids || ! is_set_up() ) {
		return;
	}
	if ( function_exists( 'fastcgi_finish_request' ) ) {
		fastcgi_finish_request();
	}
	$until = microtime( true ) + REQUEST_SECONDS;
	foreach ( $ids as $id ) {
		$row = row( $id );
		if ( microtime( true ) > $until || ( $row && null !== $row->due && claim( $row ) && ! send( $row ) ) ) {
			return;
		}
	}
}

function send_due() {
	global $wpdb;
	if ( ! is_set_up() ) {
		return;
	}
	$until = microtime( true ) + CRON_SECONDS;
	do {
		$rows = $wpdb->get_results( $wpdb->prepare( 'SELECT * FROM ' . table() . ' WHERE due <= %d ORDER BY due, post_id LIMIT 50', time() ) );
		foreach ( $rows as $row ) {
			if ( microtime( true ) > $until || ( claim( $row ) && ! send( $row ) ) ) {
				return;
			}
		}
	} while ( $rows );
}

/** Makes due all that is public, and all that Dateline may have. Returns their number. */
function mark_all() {
	global $wpdb;
	$types = settings()['types'];
	$marks = implode( ',', array_fill( 0, count( $types ), '%s' ) );
	$wpdb->query( $wpdb->prepare( 'UPDATE ' . table() . ' SET version = GREATEST(version + 1, %d), due = %d, tries = 0', now_version(), time() ) );
	$wpdb->query(
		$wpdb->prepare(
			'INSERT IGNORE INTO ' . table() . " (post_id, version, due) SELECT ID, %d, %d FROM {$wpdb->posts} WHERE post_status = 'publish' AND post_password = '' AND post_type IN ($marks)", // phpcs:ignore WordPress.DB
			array_merge( array( now_version(), time() ), $types )
		)
	);
	// The next call of WP-Cron begins.
	wp_clear_scheduled_hook( CRON );
	wp_schedule_event( time(), 'dateline_minute', CRON );
	return (int) $wpdb->get_var( 'SELECT COUNT(*) FROM ' . table() . ' WHERE due IS NOT NULL' );
}

add_action( 'shutdown', __NAMESPACE__ . '\send_marked', PHP_INT_MAX );
add_action( CRON, __NAMESPACE__ . '\send_due' );
// phpcs:ignore WordPress.WP.CronInterval
add_filter(
	'cron_schedules',
	function ( $schedules ) {
		return $schedules + array( 'dateline_minute' => array( 'interval' => 60, 'display' => __( 'Every minute', 'dateline' ) ) );
	}
);
add_action(
	'init',
	function () {
		install();
		if ( ! wp_next_scheduled( CRON ) ) {
			wp_schedule_event( time(), 'dateline_minute', CRON );
		}
		foreach ( settings()['types'] as $type ) {
			foreach ( fields() as $key => $field ) {
				register_post_meta(
					$type,
					$key,
					array(
						'type'              => 'string',
						'single'            => true,
						'default'           => '',
						'sanitize_callback' => $field[2] > 1 ? 'sanitize_textarea_field' : 'sanitize_text_field',
						'show_in_rest'      => array( 'schema' => array( 'maxLength' => $field[3] ) ),
						'auth_callback'     => function ( $allowed, $meta_key, $post_id ) {
							return current_user_can( 'edit_post', $post_id );
						},
					)
				);
			}
		}
	},
	20
);
register_activation_hook( __FILE__, __NAMESPACE__ . '\install' );
register_deactivation_hook( __FILE__, __NAMESPACE__ . '\deactivate' );
register_uninstall_hook( __FILE__, __NAMESPACE__ . '\uninstall' );

function deactivate() {
	wp_clear_scheduled_hook( CRON );
}

/** The editors' own words in the posts' fields stay. */
function uninstall() {
	global $wpdb;
	$wpdb->query( 'DROP TABLE IF EXISTS ' . table() );
	delete_option( 'dateline_settings' );
	delete_option( 'dateline_table' );
}

/* ---- Boxes for editors: a panel of the block editor, saved with the post; a classic box elsewhere. ---- */

add_action(
	'add_meta_boxes',
	function () {
		add_meta_box( 'dateline', 'Dateline', __NAMESPACE__ . '\show_box', settings()['types'], 'side', 'default', array( '__back_compat_meta_box' => true ) );
	}
);

function show_box( $post ) {
	wp_nonce_field( 'dateline_box', 'dateline_box' );
	echo '<p>';
	show_state( $post, true );
	echo '</p>';
	foreach ( fields() as $key => $field ) {
		$value = (string) get_post_meta( $post->ID, $key, true );
		printf( '<p><label for="%1$s">%2$s</label>', esc_attr( $key ), esc_html( $field[0] ) );
		if ( $field[2] > 1 ) {
			printf( '<textarea class="widefat" rows="%d" maxlength="%d" id="%3$s" name="%3$s">%4$s</textarea>', (int) $field[2], (int) $field[3], esc_attr( $key ), esc_textarea( $value ) );
		} else {
			$time = '_dateline_embargo_until' === $key && null !== embargo( $value );
			printf(
				'<input class="widefat" type="%1$s" maxlength="%2$d" id="%3$s" name="%3$s" value="%4$s">',
				$time ? 'datetime-local' : 'text',
				(int) $field[3],
				esc_attr( $key ),
				esc_attr( $time ? str_replace( ' ', 'T', $value ) : $value )
			);
		}
		echo '' === $field[1] ? '</p>' : '<br><small>' . esc_html( $field[1] ) . '</small></p>';
	}
}

add_action(
	'save_post',
	function ( $post_id ) {
		$nonce = isset( $_POST['dateline_box'] ) ? sanitize_key( $_POST['dateline_box'] ) : '';
		if ( ! wp_verify_nonce( $nonce, 'dateline_box' ) || ! current_user_can( 'edit_post', $post_id ) || wp_is_post_revision( $post_id ) ) {
			return;
		}
		foreach ( fields() as $key => $field ) {
			if ( isset( $_POST[ $key ] ) && is_string( $_POST[ $key ] ) ) {
				update_post_meta( $post_id, $key, wp_slash( mb_substr( wp_unslash( $_POST[ $key ] ), 0, $field[3] ) ) ); // phpcs:ignore WordPress.Security -- register_post_meta cleans it.
			}
		}
	}
);

add_action(
	'enqueue_block_editor_assets',
	function () {
		if ( ! in_array( get_post_type(), settings()['types'], true ) ) {
			return;
		}
		$fields = array();
		foreach ( fields() as $key => $field ) {
			$fields[] = array( 'key' => $key, 'label' => $field[0], 'help' => $field[1], 'lines' => $field[2], 'longest' => $field[3], 'time' => '_dateline_embargo_until' === $key );
		}
		wp_register_script( 'dateline-editor', false, array( 'wp-plugins', 'wp-edit-post', 'wp-element', 'wp-components', 'wp-data', 'wp-api-fetch', 'wp-notices' ), VERSION, true );
		wp_enqueue_script( 'dateline-editor' );
		wp_add_inline_script( 'dateline-editor', 'var datelineFields = ' . wp_json_encode( $fields ) . ';' . editor_script() );
	}
);

/** The classic box and the list of posts ask, too, until the answer to the last change is there. */
add_action(
	'admin_enqueue_scripts',
	function ( $page ) {
		$screen = get_current_screen();
		if ( in_array( $page, array( 'post.php', 'edit.php' ), true ) && ! $screen->is_block_editor() && in_array( $screen->post_type, settings()['types'], true ) ) {
			wp_register_script( 'dateline-state', false, array( 'wp-api-fetch' ), VERSION, true );
			wp_enqueue_script( 'dateline-state' );
			wp_add_inline_script( 'dateline-state', state_script() );
		}
	}
);

function state_script() {
	return <<<'JS'
setInterval( function () {
	document.querySelectorAll( '.dateline-pending' ).forEach( function ( place ) {
		var tries = Number( place.dataset.tries || 0 ) + 1;
		place.dataset.tries = tries;
		if ( tries > 15 || place.dataset.asking ) {
			return;
		}
		place.dataset.asking = '1';
		wp.apiFetch( { path: '/dateline/v1/posts/' + place.dataset.post } ).then( function ( state ) {
			delete place.dataset.asking;
			if ( ! state.pending ) {
				place.classList.remove( 'dateline-pending' );
				place.innerText = state.bad || place.dataset.full ? state.words : state.state;
				place.style.color = state.bad ? '#b32d2e' : '';
			}
		}, function () {} );
	} );
}, 2000 );
JS;
}

function editor_script() {
	return <<<'JS'
( function ( wp ) {
	var create = wp.element.createElement;
	var Panel = ( wp.editor && wp.editor.PluginDocumentSettingPanel ) || wp.editPost.PluginDocumentSettingPanel;
	var WIDE = { __next40pxDefaultSize: true, __nextHasNoMarginBottom: true };
	var TIME = /^\d{4}-\d\d-\d\d[T ]\d\d:\d\d$/;
	/* After each save it asks what Dateline said, until the answer is there. */
	function useState( post, saving ) {
		var kept = wp.element.useState( null );
		var saved = wp.element.useRef( false );
		wp.element.useEffect( function () {
			var tries = 0, timer = null, over = false;
			if ( saving ) {
				saved.current = true;
				return;
			}
			function ask() {
				wp.apiFetch( { path: '/dateline/v1/posts/' + post } ).then( function ( state ) {
					if ( over ) {
						return;
					}
					kept[ 1 ]( state );
					if ( state.pending && ++tries < 15 ) {
						timer = setTimeout( ask, 2000 );
					} else if ( saved.current ) {
						notify( state );
					}
				}, function () {} );
			}
			ask();
			return function () {
				over = true;
				clearTimeout( timer );
			};
		}, [ post, saving ] );
		return kept[ 0 ];
	}
	function notify( state ) {
		var notices = wp.data.dispatch( 'core/notices' );
		if ( state.bad ) {
			notices.createNotice( 'error', 'Dateline: ' + state.words.split( '\n' ).join( ' · ' ), { id: 'dateline' } );
		} else {
			notices.removeNotice( 'dateline' );
		}
	}
	function control( field, value, change ) {
		var time = field.time && ( '' === value || TIME.test( value ) );
		var props = { key: field.key, label: field.label, help: field.help || undefined, onChange: change };
		if ( field.lines > 1 ) {
			return create( wp.components.TextareaControl, Object.assign( props, WIDE, { rows: field.lines, maxLength: field.longest, value: value } ) );
		}
		return create( wp.components.TextControl, Object.assign( props, WIDE, {
			type: time ? 'datetime-local' : 'text',
			maxLength: field.longest,
			value: time ? value.replace( ' ', 'T' ) : value
		} ) );
	}
	function Fields() {
		var editor = wp.data.useSelect( function ( select ) {
			var store = select( 'core/editor' );
			return {
				meta: store.getEditedPostAttribute( 'meta' ) || {},
				post: store.getCurrentPostId(),
				saving: store.isSavingPost() && ! store.isAutosavingPost()
			};
		}, [] );
		var state = useState( editor.post, editor.saving );
		var editPost = wp.data.useDispatch( 'core/editor' ).editPost;
		var words = state && create( 'p', {
			key: 'state', className: 'dateline-state',
			style: { whiteSpace: 'pre-line', overflowWrap: 'anywhere', color: state.bad ? '#b32d2e' : undefined }
		}, state.words );
		return create( Panel, { name: 'dateline', title: 'Dateline' }, words, datelineFields.map( function ( field ) {
			return create( 'div', { key: field.key, style: { marginBottom: '16px' } }, control( field, editor.meta[ field.key ] || '', function ( value ) {
				var change = {};
				change[ field.key ] = value;
				editPost( { meta: change } );
			} ) );
		} ) );
	}
	wp.plugins.registerPlugin( 'dateline', { render: Fields, icon: null } );
} )( window.wp );
JS;
}

/* ---- What Dateline has, in the list of posts and in the editor. ---- */

function state_words( $row ) {
	$states = array(
		'public'      => __( 'with outlets', 'dateline' ),
		'embargoed'   => __( 'at Dateline, under embargo', 'dateline' ),
		'unpublished' => __( 'taken back', 'dateline' ),
		'killed'      => __( 'killed', 'dateline' ),
		'stale'       => __( 'Dateline keeps its own version', 'dateline' ),
		'held'        => __( 'not with outlets: Dateline holds it', 'dateline' ),
		'refused'     => __( 'refused', 'dateline' ),
		'waiting'     => __( 'waiting', 'dateline' ),
		''            => __( 'on its way', 'dateline' ),
	);
	$words = $states[ $row->state ] ?? $row->state;
	if ( null !== $row->due && '' !== $row->state && ! is_bad( $row ) ) {
		$words .= ', ' . __( 'a change is on its way', 'dateline' );
	}
	return $words;
}

function is_bad( $row ) {
	return in_array( $row->state, array( 'refused', 'waiting', 'stale', 'held' ), true );
}

function show_column( $column, $post_id ) {
	if ( 'dateline' === $column && row( $post_id ) ) {
		show_state( get_post( $post_id ), false );
	}
}

/** In the list of posts with Dateline's words only where something is wrong. */
function show_state( $post, $full ) {
	$state = present_state( $post );
	printf(
		'<span class="%s" data-post="%d"%s title="%s" style="overflow-wrap:anywhere%s">%s</span>',
		$state['pending'] ? 'dateline-pending' : '',
		(int) $post->ID,
		$full ? ' data-full="1"' : '',
		esc_attr( $full ? '' : $state['words'] ),
		$state['bad'] ? ';color:#b32d2e' : '',
		nl2br( esc_html( $full || $state['bad'] ? $state['words'] : $state['state'] ) )
	);
}

/** For an editor: the state, with Dateline's words, whether it is bad, and whether an answer is still to come. */
function present_state( $post ) {
	$row = row( $post->ID );
	if ( ! is_set_up() ) {
		$words = __( 'Nothing is sent yet: Dateline is not set up, under Settings > Dateline.', 'dateline' );
	} elseif ( ! $row ) {
		$words = is_public( $post ) ? __( 'Not at Dateline: it goes there with its next change.', 'dateline' ) : __( 'Goes to Dateline when it is published.', 'dateline' );
	}
	if ( isset( $words ) ) {
		return array( 'state' => $words, 'words' => $words, 'bad' => ! is_set_up(), 'pending' => false );
	}
	$state = state_words( $row );
	// A version is the time of its change, in milliseconds.
	if ( null !== $row->due && ( 0 === (int) $row->tries || (int) $row->answered < intdiv( (int) $row->version, 1000 ) ) ) {
		return array( 'state' => $state, 'words' => $state, 'bad' => false, 'pending' => true );
	}
	$words = trim( $state . "\n" . $row->answer );
	if ( null !== $row->due ) {
		/* translators: %s: a time */
		$words .= "\n" . sprintf( __( 'It is sent again in %s, or with the next change.', 'dateline' ), human_time_diff( time(), max( time(), (int) $row->due ) ) );
	}
	return array( 'state' => $state, 'words' => $words, 'bad' => is_bad( $row ), 'pending' => false );
}

add_action(
	'rest_api_init',
	function () {
		register_rest_route(
			'dateline/v1',
			'/posts/(?P<id>\d+)',
			array(
				'methods'             => 'GET',
				'permission_callback' => function ( $request ) {
					return current_user_can( 'edit_post', (int) $request['id'] );
				},
				'callback'            => function ( $request ) {
					return present_state( get_post( (int) $request['id'] ) );
				},
			)
		);
	}
);

add_action(
	'admin_init',
	function () {
		foreach ( settings()['types'] as $type ) {
			add_filter(
				"manage_{$type}_posts_columns",
				function ( $columns ) {
					return $columns + array( 'dateline' => 'Dateline' );
				}
			);
			add_action( "manage_{$type}_posts_custom_column", __NAMESPACE__ . '\show_column', 10, 2 );
		}
	}
);

/* ---- The settings page. ---- */

add_action(
	'admin_menu',
	function () {
		add_options_page( 'Dateline', 'Dateline', 'manage_options', 'dateline', __NAMESPACE__ . '\show_settings' );
	}
);

function settings_page() {
	return admin_url( 'options-general.php?page=dateline' );
}

add_filter(
	'plugin_action_links_' . plugin_basename( __FILE__ ),
	function ( $links ) {
		return array_merge( array( sprintf( '<a href="%s">%s</a>', esc_url( settings_page() ), esc_html__( 'Settings', 'dateline' ) ) ), $links );
	}
);

/** The list of plug-ins, where it was just activated, and the list of posts say that settings are missing. */
add_action(
	'admin_notices',
	function () {
		if ( ! is_set_up() && current_user_can( 'manage_options' ) && in_array( get_current_screen()->base, array( 'plugins', 'edit' ), true ) ) {
			printf( '<div class="notice notice-warning"><p>%s <a href="%s">%s</a></p></div>', esc_html__( 'Dateline sends nothing yet: it needs the address of the desk and a secret.', 'dateline' ), esc_url( settings_page() ), esc_html__( 'Settings > Dateline', 'dateline' ) );
		}
	}
);

/** Asks the desk whether it knows this secret, by a takedown of nothing. Returns '' or the fault. */
function connection_fault( $settings ) {
	// A hook cannot be tried only; a takedown of what was never there is ignored.
	$url      = $settings['url'] . ( preg_match( '#/v1/hooks/#', $settings['url'] ) ? '' : '?validate=1' );
	$body     = '{"id":"connection-test","status":"unpublished"}';
	$response = post_signed( $settings, $url, 'wp_test_' . wp_generate_uuid4(), $body );
	if ( is_wp_error( $response ) ) {
		return __( 'The desk cannot be reached:', 'dateline' ) . ' ' . $response->get_error_message();
	}
	$status = (int) wp_remote_retrieve_response_code( $response );
	$answer = json_decode( wp_remote_retrieve_body( $response ), true );
	$answer = is_array( $answer ) ? $answer : array();
	if ( $status >= 200 && $status < 300 && isset( $answer['outcome'] ) ) {
		return '';
	}
	$words = $status . ' ' . problem_words( $answer );
	if ( 401 === $status ) {
		return __( 'The desk does not know this secret, or the clocks differ:', 'dateline' ) . ' ' . $words;
	}
	$elsewhere = wp_remote_retrieve_header( $response, 'location' );
	if ( is_string( $elsewhere ) && '' !== $elsewhere ) {
		return __( 'The address leads on to another one. Write that one here:', 'dateline' ) . ' ' . strtok( $elsewhere, '?' );
	}
	if ( in_array( $status, array( 404, 405 ), true ) ) {
		$words .= ' ' . __( 'The address is the whole one that `dateline source add` printed, with /v1/ in it.', 'dateline' );
	}
	return __( 'The desk does not take this:', 'dateline' ) . ' ' . $words;
}

/** Kept for the next page of this user, with what the connection test found. */
function tell( $words, $fault = '' ) {
	set_transient( 'dateline_told_' . get_current_user_id(), array( $words, $fault ), 60 );
}

function save_settings( $posted ) {
	$kept   = get_option( 'dateline_settings' );
	$secret = is_string( $posted['secret'] ?? null ) ? trim( $posted['secret'] ) : '';
	$types  = is_array( $posted['types'] ?? null ) ? array_filter( $posted['types'], 'is_string' ) : array();
	update_option(
		'dateline_settings',
		array(
			'url'    => esc_url_raw( is_string( $posted['url'] ?? null ) ? trim( $posted['url'] ) : '', array( 'https', 'http' ) ),
			'secret' => '' !== $secret ? sanitize_text_field( $secret ) : (string) ( $kept['secret'] ?? '' ),
			'types'  => implode( ', ', array_map( 'sanitize_key', $types ) ?: array( 'post' ) ),
		),
		false
	);
	$fault = settings_fault( settings() ) ? '' : connection_fault( settings() );
	$good  = settings_fault( settings() ) ? '' : ' ' . __( 'The desk answers, and knows this secret.', 'dateline' );
	tell( __( 'Saved.', 'dateline' ) . ( '' === $fault ? $good : '' ), $fault );
}

add_action(
	'admin_post_dateline',
	function () {
		if ( ! current_user_can( 'manage_options' ) ) {
			wp_die( '', 403 );
		}
		check_admin_referer( 'dateline' );
		if ( isset( $_POST['all'] ) ) {
			/* translators: %d: a number of posts */
			tell( sprintf( __( '%d posts are sent in the next minutes.', 'dateline' ), mark_all() ) );
		} else {
			save_settings( wp_unslash( $_POST ) );
		}
		wp_safe_redirect( settings_page() );
		exit;
	}
);

/** Says what is wrong with the settings, or ''. */
function settings_fault( $settings ) {
	if ( '' === $settings['url'] || '' === $settings['secret'] ) {
		return __( 'Nothing is sent yet: the address and the secret are missing. `dateline source add` prints both.', 'dateline' );
	}
	if ( strlen( (string) base64_decode( preg_replace( '/^whsec_/', '', $settings['secret'] ), true ) ) < 16 ) {
		return __( 'The secret begins with whsec_ and goes on in base64: this one was not copied whole.', 'dateline' );
	}
	if ( ! defined( 'DATELINE_URL' ) && ! wp_http_validate_url( $settings['url'] ) ) {
		return __( 'WordPress sends to the ports 80, 443 and 8080 of public addresses only. For another port or a private address write this into wp-config.php, above the line that says to stop editing:', 'dateline' )
			. sprintf( "\ndefine( 'DATELINE_URL', '%s' );", $settings['url'] );
	}
	return '';
}

function settings_warning( $settings ) {
	if ( '' !== $settings['url'] && 'https' !== wp_parse_url( $settings['url'], PHP_URL_SCHEME ) && ! preg_match( '#^http://(127\.|localhost|\[::1\])#', $settings['url'] ) ) {
		return __( 'The address is not https: others on the way can read stories that are under embargo.', 'dateline' );
	}
	return '';
}

function show_notice( $kind, $words ) {
	if ( '' !== $words ) {
		echo '<div class="notice notice-' . esc_attr( $kind ) . '"><p>' . nl2br( esc_html( $words ) ) . '</p></div>';
	}
}

/** The types that the site shows to readers, and those that were chosen while they were there. */
function show_types( $chosen ) {
	$types = wp_list_pluck( get_post_types( array( 'public' => true ), 'objects' ), 'label', 'name' );
	unset( $types['attachment'] );
	echo '<fieldset><legend class="screen-reader-text">' . esc_html__( 'Types of posts', 'dateline' ) . '</legend>';
	foreach ( $types + array_combine( $chosen, $chosen ) as $name => $label ) {
		printf(
			'<label><input type="checkbox" name="types[]" value="%1$s"%2$s> %3$s</label><br>',
			esc_attr( $name ),
			checked( in_array( $name, $chosen, true ), true, false ),
			esc_html( post_type_exists( $name ) ? $label : $name . ' ' . __( '(not on this site at present)', 'dateline' ) )
		);
	}
	echo '</fieldset>';
}

function show_settings() {
	$settings = settings();
	$told     = get_transient( 'dateline_told_' . get_current_user_id() );
	delete_transient( 'dateline_told_' . get_current_user_id() );
	echo '<div class="wrap"><h1>Dateline</h1>';
	if ( is_array( $told ) ) {
		show_notice( 'success', $told[0] );
		show_notice( 'error', $told[1] );
	}
	show_notice( 'error', settings_fault( $settings ) );
	show_notice( 'warning', settings_warning( $settings ) );
	echo '<form method="post" action="' . esc_url( admin_url( 'admin-post.php' ) ) . '"><input type="hidden" name="action" value="dateline">';
	wp_nonce_field( 'dateline' );
	printf(
		'<table class="form-table" role="presentation"><tr><th><label for="url">%s</label></th><td><input class="regular-text" type="url" id="url" name="url" placeholder="https://…/v1/articles" value="%s"%s><p class="description">%s</p></td></tr>',
		esc_html__( 'Address of the desk', 'dateline' ),
		esc_attr( $settings['url'] ),
		defined( 'DATELINE_URL' ) ? ' readonly' : '',
		defined( 'DATELINE_URL' ) ? esc_html__( 'Set in wp-config.php.', 'dateline' ) : esc_html__( 'The intake URL that `dateline source add` printed.', 'dateline' )
	);
	printf(
		'<tr><th><label for="secret">%s</label></th><td><input class="regular-text" type="password" autocomplete="new-password" id="secret" name="secret" placeholder="%s"%s><p class="description">%s</p></td></tr>',
		esc_html__( 'Signing secret', 'dateline' ),
		'' === $settings['secret'] ? 'whsec_…' : esc_attr__( 'kept; empty leaves it as it is', 'dateline' ),
		defined( 'DATELINE_SECRET' ) ? ' readonly' : '',
		defined( 'DATELINE_SECRET' ) ? esc_html__( 'Set in wp-config.php.', 'dateline' ) : esc_html__( 'Printed with it; not the API key.', 'dateline' )
	);
	echo '<tr><th>' . esc_html__( 'Types of posts', 'dateline' ) . '</th><td>';
	show_types( $settings['types'] );
	echo '</td></tr></table>';
	submit_button( __( 'Save and test the connection', 'dateline' ), 'primary', 'save', false );
	echo ' ';
	submit_button( __( 'Send all again', 'dateline' ), 'secondary', 'all', false );
	echo '</form>';
	show_waiting();
	echo '</div>';
}

function show_waiting() {
	global $wpdb;
	$rows = $wpdb->get_results( 'SELECT * FROM ' . table() . ' WHERE due IS NOT NULL ORDER BY due LIMIT 20' );
	if ( ! $rows ) {
		return;
	}
	echo '<h2>' . esc_html__( 'Waiting', 'dateline' ) . '</h2><table class="widefat striped"><tbody>';
	foreach ( $rows as $row ) {
		$title = get_the_title( (int) $row->post_id );
		$link  = get_edit_post_link( (int) $row->post_id );
		printf(
			'<tr><td>%s</td><td style="overflow-wrap:anywhere">%s<br>%s</td></tr>',
			$link ? sprintf( '<a href="%s">%s</a>', esc_url( $link ), esc_html( '' !== $title ? $title : '#' . $row->post_id ) ) : esc_html( '#' . $row->post_id ),
			esc_html( state_words( $row ) ),
			nl2br( esc_html( (string) $row->answer ) )
		);
	}
	echo '</tbody></table>';
}
